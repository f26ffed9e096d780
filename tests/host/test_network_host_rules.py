"""The second fence: what the host does with packets of a slot whose own rules had failed, and with those for a slot."""

import asyncio
import ipaddress
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scaibunker.worker.network import links, nft
from scaibunker.worker.network import slot as slots
from scaibunker.worker.network.host_rules import host_ruleset, host_update
from scaibunker.worker.network.lookout import Lookout
from scaibunker.worker.network.never import Never, networks
from scaibunker.worker.network.policy import Passage, Policy
from scaibunker.worker.network.rules import never_update
from scaibunker.worker.network.vicinity import Vicinity
from tests.host.lab import Lab, Sniffer, plan
from tests.host.lab import packets as p
from tests.host.lab.packets import Ends, parse
from tests.host.lab.rig import NEVER, RANGES, Change, Rig
from tests.waiting import until, wait_until

pytestmark = pytest.mark.host

MARK = b"out of a slot"
_numbers = itertools.count()
SITE_V4, SITE_V6 = "203.0.113.100", "2001:db8:1::64"
OPEN = Policy(Passage.OPEN, 100)
GUARD = (("counter name host_spoofed drop", "accept"),)
REACH = (("ip daddr @reach4 accept", "accept"),)


@dataclass
class Scene:
    """Two slots of one worker on one host; `wire` sees what leaves the host."""

    lab: Lab
    one: Rig
    two: Rig
    wire: Sniffer
    raw: socket.socket

    def inject(self, *packets: tuple[str, str, bytes]) -> None:
        """Datagrams out of the first slot, past its rules: source, destination, data."""
        number = self.one.slot.number
        macs = links.uplink_mac(number), links.host_mac(number)
        for source, destination, data in packets:
            ends = Ends(source, destination, *macs)
            self.raw.send(p.packet(ends, p.UDP, p.udp(ends, 7, data)))

    def fence(self) -> None:
        """What was sent before has been judged when this returns."""
        data = f"fence {next(_numbers)}".encode()
        self.inject((str(self.one.facts.transfer_v4), SITE_V4, data))
        self.wire.wait(lambda f: data in f)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with (
        Lab.opened() as lab,
        Rig.opened(lab) as one,
        Rig.opened(lab, 2, one.tag) as two,
        lab.sniff_uplink() as wire,
    ):
        lab.world.ip("route", "add", str(RANGES.v4), "via", plan.HOST_V4)
        lab.world.ip("route", "add", str(RANGES.v6), "via", plan.HOST_V6)
        with one.inside.call(lambda: _raw(one.facts.uplink)) as raw:
            yield Scene(lab, one, two, wire, raw)


@dataclass(frozen=True)
class Case:
    """A packet of `source`, or of the slot's own address, to `destination`; `at`: where it would be seen."""

    name: str
    destination: Callable[[Scene], str]
    changes: tuple[Change, ...]
    source: Callable[[Scene], str] | None = None
    at: str = "world"

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    def send(self, scene: Scene) -> None:
        to = self.destination(scene)
        facts = scene.one.facts
        own = str(facts.transfer_v6 if ":" in to else facts.transfer_v4)
        scene.inject((self.source(scene) if self.source else own, to, MARK))

    def passed(self, scene: Scene) -> bool:
        if self.at == "world":
            return bool(scene.wire.frames(lambda f: MARK in f))
        if self.at == "host":
            return bool(scene.lab.log.hits(where="host", transport="udp"))
        return bool(scene.two.up.frames(lambda f: MARK in f))


CASES = [
    Case("a stranger's address", lambda s: SITE_V4, GUARD, lambda s: "203.0.113.77"),
    Case("a stranger's IPv6 address", lambda s: SITE_V6, GUARD, lambda s: "2001:db8:1::77"),
    Case("the guest's address", lambda s: SITE_V4, GUARD, lambda s: "198.18.0.2"),
    Case("another slot's address", lambda s: SITE_V4, GUARD, lambda s: str(s.two.facts.transfer_v4)),
    Case("another slot's IPv6 address", lambda s: SITE_V6, GUARD, lambda s: str(s.two.facts.transfer_v6)),
    Case("to the host", lambda s: plan.HOST_V4, (("counter name host_inward drop", "accept"),), at="host"),
    Case("to the host over IPv6", lambda s: plan.HOST_V6, (("counter name host_inward drop", "accept"),), at="host"),
    Case("to the end of its pair", lambda s: str(s.one.facts.host_transfer_v4),
         (("counter name host_inward drop", "accept"),), at="host"),
    Case("to another slot", lambda s: str(s.two.facts.transfer_v4),
         (('oifname "sbk*" counter name host_refused drop', 'oifname "sbk*" accept'),), at="slot"),
    Case("to another slot over IPv6", lambda s: str(s.two.facts.transfer_v6),
         (('oifname "sbk*" counter name host_refused drop', 'oifname "sbk*" accept'),), at="slot"),
    Case("to metadata", lambda s: plan.METADATA_V4, REACH),
    Case("to a peer", lambda s: plan.PEER_V4, REACH),
    Case("to a peer over IPv6", lambda s: plan.PEER_V6, (("ip6 daddr @reach6 accept", "accept"),)),
    Case("to the controller", lambda s: plan.CONTROLLER_V4, REACH),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_does_not_pass(scene: Scene, case: Case) -> None:
    scene.one.enforce_host()
    _clear(scene)
    case.send(scene)
    scene.fence()
    assert not case.passed(scene)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_passes_when_its_rule_is_away(scene: Scene, case: Case) -> None:
    host = scene.lab.host
    keys = [f"ipv4__conf__{name}__rp_filter" for name in ("all", scene.one.slot.link)]
    kept = {key: host.sysctl_of(key) for key in keys}
    host.sysctl(**dict.fromkeys(keys, 0))
    scene.one.enforce_host(case.changes)
    _clear(scene)
    try:
        case.send(scene)
        wait_until(lambda: case.passed(scene), 30, lambda: f"{case} to pass", every_s=0.01)
    finally:
        host.sysctl(**kept)
        scene.one.enforce_host()


@pytest.mark.parametrize("family", [4, 6])
def test_the_world_reaches_no_slot(scene: Scene, family: int) -> None:
    facts = scene.one.facts
    address = str(facts.transfer_v4 if family == 4 else facts.transfer_v6)

    def knock() -> None:
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"a knock", (address, 9))

    scene.one.enforce_host()
    _clear(scene)
    before = scene.one.host_count("host_strayed")
    scene.lab.world.call(knock)
    wait_until(lambda: scene.one.host_count("host_strayed") > before, 30)
    assert not scene.one.up.frames(lambda f: b"a knock" in f)
    scene.one.enforce_host(
        [(f'oifname "{scene.one.host_facts.uplinks}*" counter name host_strayed drop', "")]
    )
    scene.lab.world.call(knock)
    scene.one.up.wait(lambda f: b"a knock" in f)
    scene.one.enforce_host()


def test_slots_leave_by_the_way_that_was_given(scene: Scene) -> None:
    for outward, leaves in (("eth9", False), ("wan0", True)):
        facts = replace(scene.one.host_facts, outward=outward)
        scene.lab.host.call(lambda f=facts: nft.apply(host_ruleset(f, NEVER)))  # type: ignore[misc]
        _clear(scene)
        before = scene.one.host_count("host_refused")
        scene.inject((str(scene.one.facts.transfer_v4), SITE_V4, MARK))
        if leaves:
            scene.wire.wait(lambda f: MARK in f)
        else:
            wait_until(lambda: scene.one.host_count("host_refused") > before, 30)  # noqa: B023
            assert not scene.wire.frames(lambda f: MARK in f)
    scene.one.enforce_host()


def test_there_is_no_moment_without_rules(scene: Scene) -> None:
    """Not even when what may be reached changes, or another daemon begins."""
    scene.one.enforce_host()
    _clear(scene)
    own, other = str(scene.one.facts.transfer_v4), str(scene.two.facts.transfer_v4)
    bad = ((own, plan.METADATA_V4), (other, SITE_V4), (own, plan.HOST_V4), (own, other))
    packets = [*((source, to, MARK) for source, to in bad), (own, SITE_V4, b"permitted")]
    done, sent = threading.Event(), 0

    def flood() -> None:
        nonlocal sent
        while not done.is_set():
            scene.inject(*packets)
            scene.wire.frames()
            sent += 1

    more = Never((*NEVER.vicinity, *networks("203.0.113.250/32", "10.99.7.0/24")))
    texts = [host_ruleset(scene.one.host_facts, never) for never in (more, NEVER)]
    texts.append(host_update(scene.one.host_facts, more))
    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        scene.lab.host.call(lambda: [nft.apply(text) for _ in range(50) for text in texts])
    finally:
        done.set()
        flooding.join()
    scene.fence()
    assert sent > 50
    assert not scene.wire.frames(lambda f: MARK in f)
    assert not scene.two.up.frames(lambda f: MARK in f)
    assert not scene.lab.log.hits(where="host", transport="udp")
    assert scene.lab.log.hits(local=SITE_V4, size=len(b"permitted"))


def _tracked(scene: Scene, source: str) -> list[str]:
    """Flows of that source that the host knows, as the kernel writes them: those who began them come first."""
    text = scene.lab.host.call(lambda: Path("/proc/thread-self/net/nf_conntrack").read_text())
    lines = text.splitlines()
    return [f for f in lines if next(w for w in f.split() if w.startswith("src=")) == source]


@pytest.mark.parametrize("site", [SITE_V4, SITE_V6])
def test_the_host_knows_a_flow_no_longer_than_its_slot(scene: Scene, site: str) -> None:
    """All machines share its table: what is over must not stay there for minutes, nor for days what is open when a machine ends."""
    scene.one.enforce_host()
    scene.one.enforce(OPEN)
    scene.two.enforce(OPEN)
    for rig in (scene.one, scene.two):
        ends = rig.to(site)
        syn = p.packet(ends, p.TCP, p.tcp(ends, 80, source_port=41_000))
        rig.guest.send(syn)
        rig.guest.wait(lambda f: p.parse(f).protocol == p.TCP)
    flows = {}
    for rig in (scene.one, scene.two):
        own = rig.facts.transfer_v6 if ":" in site else rig.facts.transfer_v4
        own_text = own.exploded if ":" in site else str(own)
        flows[rig] = f"src={own_text}"
        (line,) = [f for f in _tracked(scene, flows[rig]) if "sport=41000" in f]
        assert line.split()[5] == "SYN_RECV"
        assert int(line.split()[4]) <= 30  # by itself: 60
    scene.lab.host.call(lambda: slots.forget_flows(scene.one.facts))
    assert not _tracked(scene, flows[scene.one])
    assert _tracked(scene, flows[scene.two])


def test_flows_go_on_while_the_hosts_rules_are_made_anew(scene: Scene) -> None:
    scene.one.enforce_host()
    scene.one.enforce(OPEN)
    ends = scene.one.to(SITE_V4)
    for number in range(20):
        scene.one.enforce_host()
        data = f"echo {number}".encode()
        scene.one.guest.send(p.packet(ends, p.UDP, p.udp(ends, 7, data)))
        scene.one.guest.wait(lambda f: data in f)  # noqa: B023
    assert len({h.peer_port for h in scene.lab.log.hits(local=SITE_V4, port=7, size=6)}) == 1


def test_an_address_that_the_host_gets_is_closed_to_open_slots(scene: Scene) -> None:
    """The lookout hears of it from the kernel; nobody looks again for an hour."""
    new = "203.0.113.200"
    scene.one.enforce_host()
    scene.one.enforce(OPEN)
    ends = scene.one.to(new)

    def reached(data: bytes) -> bytes:
        scene.one.guest.clear()
        scene.one.guest.send(p.packet(ends, p.UDP, p.udp(ends, 7, data)))
        return scene.one.guest.wait(lambda f: data in f)

    assert parse(reached(b"before")).source == new
    told: list[Never] = []

    async def tell(never: Never) -> None:
        nft.apply(host_update(scene.one.host_facts, never))
        scene.one.inside.call(lambda: nft.apply(never_update(never)))
        told.append(never)

    async def look_out() -> None:
        vicinity = Vicinity((RANGES.v4, RANGES.v6), [f"http://{plan.CONTROLLER_V4}:8000"])
        lookout = Lookout(vicinity.gather, tell, every_s=3600)
        await lookout.start()
        try:
            forbidden = lookout.never.forbids
            for address in (plan.HOST_V4, plan.HOST_V6, plan.CONTROLLER_V4):
                assert forbidden(ipaddress.ip_address(address), Passage.OPEN)
            await asyncio.to_thread(scene.lab.host.ip, "address", "add", f"{new}/32", "dev", "lo")
            await until(
                lambda: any(n.forbids(ipaddress.ip_address(new), Passage.OPEN) for n in told), 10
            )
        finally:
            await lookout.close()

    try:
        scene.lab.host.call(lambda: asyncio.run(look_out()))
        refusal = parse(reached(b"after"))
        assert (refusal.protocol, refusal.icmp) == (p.ICMP, (3, 13))
        assert not scene.lab.log.hits(where="host", local=new)
    finally:
        scene.lab.host.ip("address", "del", f"{new}/32", "dev", "lo")


def _raw(device: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((device, 0))
    return raw


def _clear(scene: Scene) -> None:
    for sniffer in (scene.wire, scene.one.up, scene.two.up):
        sniffer.clear()
    scene.lab.log.clear()
