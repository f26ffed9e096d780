"""A slot in the lab, made as the worker makes it, with the test as its guest: what rules do is seen frame by frame."""

import contextlib
import secrets
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from scaibunker.worker.network import netns, nft, openings
from scaibunker.worker.network import slot as slots
from scaibunker.worker.network.facts import HostFacts
from scaibunker.worker.network.flow_sockets import end_flows
from scaibunker.worker.network.host_rules import host_ruleset
from scaibunker.worker.network.naming import LINK_PREFIX
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.nft_enforcer import NftEnforcer
from scaibunker.worker.network.policy import Policy
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.rules import link_local, slot_ruleset
from tests.host.lab import plan
from tests.host.lab.lab import Lab
from tests.host.lab.namespaces import Namespace
from tests.host.lab.packets import Ends
from tests.host.lab.raw_guest import RawGuest
from tests.host.lab.sniffer import Sniffer

RANGES = Ranges(IPv4Network("198.19.0.0/16"), IPv6Network("fd5c:a1ba:9001::/64"))
MBIT = 10_000
NEVER = Never(
    (
        *(ip_network(r) for r in (RANGES.v4, RANGES.v6, "198.18.0.0/30", "fd5c:a1ba:9000::/64")),
        *(ip_network(a) for a in (plan.HOST_V4, plan.HOST_V6, plan.PEER_V4, plan.PEER_V6)),
        *(ip_network(a) for a in (plan.CONTROLLER_V4, plan.CONTROLLER_V6)),
    )
)
Change = tuple[str, str]
"""Text of a ruleset, and what stands in its place in a mutant."""


class Rig:
    """Slot `number` of the lab's host. `up`: sees the frames between slot and host."""

    def __init__(self, lab: Lab, number: int = 1, tag: str | None = None) -> None:
        self.lab = lab
        self.tag = tag or secrets.token_hex(3)
        self.facts = RANGES.facts(number, 1500, 16_384)
        self.host_facts = HostFacts(
            f"scaibunker_{self.tag}", f"{LINK_PREFIX}{self.tag}", RANGES.v4, RANGES.v6
        )
        self.slot = slots.Slot(
            number,
            f"scaibunker-{self.tag}-{number}",
            f"{LINK_PREFIX}{self.tag}{number}",
            self.facts,
            MBIT,
        )
        self._stack = contextlib.ExitStack()
        enforcer = NftEnforcer(lambda: NEVER)
        self._stack.callback(self._demolish)
        try:
            lab.host.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
            self.enforce_host()
            lab.host.call(lambda: slots.build(self.slot, enforcer))
            self.inside = Namespace(self.slot.namespace, there=True)
            self.guest = RawGuest(slots.open_tap(self.slot))
            self._stack.callback(self.guest.close)
            self.up = self._stack.enter_context(Sniffer(self.inside, self.facts.uplink))
        except BaseException:
            self._stack.close()
            raise

    @classmethod
    @contextlib.contextmanager
    def opened(cls, lab: Lab, number: int = 1, tag: str | None = None) -> Iterator["Rig"]:
        rig = cls(lab, number, tag)
        try:
            yield rig
        finally:
            rig.close()

    def close(self) -> None:
        self._stack.close()

    def enforce(self, policy: Policy, changes: Iterable[Change] = (), never: Never = NEVER) -> None:
        """Put the policy into force, or a mutant of its rules, and forget all flows."""
        text = mutant(slot_ruleset(policy, self.facts, never), changes)
        self.inside.call(lambda: nft.apply(text))
        self.inside.call(end_flows)
        self.guest.clear()
        self.up.clear()

    def enforce_host(self, changes: Iterable[Change] = ()) -> None:
        text = mutant(host_ruleset(self.host_facts, NEVER), changes)
        self.lab.host.call(lambda: nft.apply(text))

    def count(self, name: str) -> int:
        """Packets that a counter of the slot's ruleset has seen."""
        return self.inside.call(lambda: nft.counters("inet", "scaibunker"))[name].packets

    def refused(self) -> int:
        """Packets that its ruleset has refused, for whatever reason."""
        named = self.inside.call(lambda: nft.counters("inet", openings.TABLE))
        return self.count("refused") + named["refused"].packets

    def host_count(self, name: str) -> int:
        return self.lab.host.call(lambda: nft.counters("inet", self.host_facts.table))[name].packets

    def to(
        self, destination: str, *, source: str | None = None, source_mac: str | None = None
    ) -> Ends:
        """From the guest, as it should be unless it is said otherwise."""
        v6 = ":" in destination
        own = self.facts.guest_v6.ip if v6 else self.facts.guest_v4.ip
        return Ends(
            source or str(own),
            destination,
            source_mac or self.facts.guest_mac,
            self.facts.gateway_mac,
        )

    @property
    def gateway_v4(self) -> str:
        return str(self.facts.gateway_v4)

    @property
    def gateway_v6(self) -> str:
        return str(self.facts.gateway_v6)

    @property
    def guest_link_local(self) -> str:
        return str(link_local(self.facts.guest_mac))

    @contextlib.contextmanager
    def listening(self, kind: int, address: str, port: int) -> Iterator[socket.socket]:
        """A socket in the slot, non-blocking, as the gateway would have it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def opened() -> socket.socket:
            made = socket.socket(family, kind)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            if kind == socket.SOCK_STREAM:
                made.listen(64)
            made.setblocking(False)
            return made

        with self.inside.call(opened) as sock:
            yield sock

    def _demolish(self) -> None:
        def work() -> None:
            slots.demolish(self.slot.namespace, self.slot.link)
            nft.delete_table("inet", self.host_facts.table)

        self.lab.host.call(work)
        assert self.slot.namespace not in netns.names()


def mutant(text: str, changes: Iterable[Change]) -> str:
    for old, new in changes:
        assert old in text, f"nothing to change: {old}"
        text = text.replace(old, new)
    return text
