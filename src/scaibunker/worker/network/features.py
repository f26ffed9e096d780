"""What networks need of this host's kernel, found out by trying it in a namespace that ends with the trial."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import bandwidth, messages, netns, nft, sysctls, taps
from scaibunker.worker.network.facts import INTAKE, TAP, HostFacts, SlotFacts
from scaibunker.worker.network.flow_sockets import open_conntrack, open_refusals, track_flows
from scaibunker.worker.network.host_rules import host_ruleset
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Passage, Policy
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.rtnetlink import Message, RtNetlink
from scaibunker.worker.network.rules import slot_ruleset

MODULES = "load the module {0} (modprobe {0}), or use a kernel that has it"
_MAC = "02:5c:a1:00:00:ff"
_MTU = 1400
_ANY = Ranges(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/64"))


@dataclass(frozen=True, slots=True)
class Feature:
    """`error`: None if it is there. `advice`: what to do if not."""

    name: str
    error: str | None
    advice: str


def probe() -> list[Feature]:
    """All of them; needs root, and takes some hundredths of a second."""
    try:
        return netns.in_own_thread(_probe_in_namespace)
    except OSError as error:
        return [Feature("network namespaces", str(error), "run as root, with CONFIG_NET_NS")]


def missing() -> str | None:
    """Why this host can give no networks, in words for an operator; None if it can."""
    lacking = [f"{feature.name} ({feature.error})" for feature in probe() if feature.error]
    return ", ".join(lacking) or None


def _probe_in_namespace() -> list[Feature]:
    netns.unshare()
    return [
        Feature("network namespaces", None, ""),
        *(_tried(name, trial, advice) for name, trial, advice in _trials()),
    ]


def _tried(name: str, trial: Callable[[], None], advice: str) -> Feature:
    try:
        trial()
    except OSError as error:
        return Feature(name, error.strerror or str(error), advice)
    except WorkerFault as fault:
        return Feature(name, fault.message, advice)
    return Feature(name, None, advice)


def _trials() -> Iterator[tuple[str, Callable[[], None], str]]:
    """In an order in which each finds what it needs."""
    yield "IPv6", lambda: sysctls.apply(sysctls.of_slot()), "boot without ipv6.disable=1"
    yield "TAP", lambda: taps.create(TAP), MODULES.format("tun")
    yield "veth", _veth, MODULES.format("veth")
    yield "ifb", partial(_do, lambda: messages.new_ifb(INTAKE, _MTU)), MODULES.format("ifb")
    yield "tbf", partial(_do, _tbf), MODULES.format("sch_tbf")
    yield (
        "redirect",
        _redirect,
        MODULES.format("sch_ingress") + "; so with cls_u32 and act_mirred",
    )
    yield "nftables", _rules, "apt-get install libnftables1; " + MODULES.format("nf_tables")
    yield "conntrack", _flows, MODULES.format("nf_conntrack_netlink")
    yield "nflog", lambda: open_refusals().close(), MODULES.format("nfnetlink_log")


def _do(make: Callable[[], Message]) -> None:
    with RtNetlink() as route:
        route.do(make())


def _veth() -> None:
    with open("/proc/thread-self/ns/net") as here:  # noqa: PTH123 - a descriptor is needed
        _do(lambda: messages.new_pair("try0", _MAC, "try1", _MAC, here.fileno(), _MTU))


def _tbf() -> Message:
    return messages.limit_egress(socket.if_nametoindex(INTAKE), bandwidth.bucket(10, _MTU))


def _redirect() -> None:
    tap, intake = socket.if_nametoindex(TAP), socket.if_nametoindex(INTAKE)
    _do(lambda: messages.new_ingress(tap))
    _do(lambda: messages.redirect_all(tap, intake))


def _rules() -> None:
    facts: SlotFacts = _ANY.facts(1, _MTU, max_flows=64)
    for passage in (Passage.NAMED, Passage.OPEN):
        nft.apply(slot_ruleset(Policy(passage, 10, audited=True), facts, Never()))
    nft.apply(host_ruleset(HostFacts("scaibunker_try", "try", _ANY.v4, _ANY.v6), Never()))


def _flows() -> None:
    track_flows()
    open_conntrack().close()
