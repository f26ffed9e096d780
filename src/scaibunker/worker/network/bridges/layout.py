"""A bridge and its ports, inside its namespace: all of it is called on a thread that is there.

Each can be done twice, and over what was half done. A port is a TAP, and an IFB through which what the machine sends is led.
It is made apart from the bridge, and becomes its port when its frames may pass; the rules let them pass last.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from scaibunker.wire.worker.network import InterfaceOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import bandwidth, nft, sysctls, taps
from scaibunker.worker.network import messages as links
from scaibunker.worker.network.bridges import messages, rules
from scaibunker.worker.network.bridges.names import BRIDGE, PORT_PREFIX, intake_of
from scaibunker.worker.network.rtnetlink import RtNetlink, is_gone

MTU = 1500
BRIDGE_MAC = "02:5c:a1:00:00:03"
STATISTICS = Path("/proc/thread-self/net/dev")
_QUIET = (
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv4/ip_forward", "0"),
)
_NOT_FOR_HOST = ("bridge-nf-call-arptables", "bridge-nf-call-iptables", "bridge-nf-call-ip6tables")
"""Bridged packets are no business of the rules for routed ones, where the kernel has a part that hands them over."""


def build() -> None:
    """The bridge, without ports. Raises WorkerFault."""
    with _netlink("bridge") as route:
        sysctls.apply(_QUIET)
        for name in _NOT_FOR_HOST:
            with contextlib.suppress(OSError):
                sysctls.apply([(f"bridge/{name}", "0")])
        if not _is_there(BRIDGE):
            route.do(messages.new_bridge(BRIDGE, BRIDGE_MAC))
        nft.apply(rules.of_bridge())
        route.do(links.raise_link(_index(BRIDGE)))


def stands() -> bool:
    """Whether there is a bridge here."""
    return _is_there(BRIDGE)


def ports() -> list[str]:
    """The TAPs that are here, whether or not their frames pass."""
    return [name for _, name in socket.if_nameindex() if name.startswith(PORT_PREFIX)]


def make_port(port: str, mbit: int) -> None:
    """A TAP that nobody reaches. Raises WorkerFault."""
    with _netlink("port") as route:
        intake = intake_of(port)
        if not _is_there(port):
            taps.create(port)
        if not _is_there(intake):
            route.do(links.new_ifb(intake, MTU))
            tap, led = _index(port), _index(intake)
            with contextlib.suppress(FileExistsError):
                route.do(links.new_ingress(tap))
                route.do(links.redirect_all(tap, led))
        tap, led = _index(port), _index(intake)
        bucket = bandwidth.bucket(mbit, MTU)
        route.do(
            links.limit_egress(tap, bucket),
            links.limit_egress(led, bucket),
            links.raise_link(led),
            links.raise_link(tap),
        )


def open_port(port: str, interface: InterfaceOrder, mbit: int) -> None:
    """Its frames pass, as far as they may; those that pass already go on. Raises WorkerFault."""
    with _netlink("port") as route:
        tap, bucket = _index(port), bandwidth.bucket(mbit, MTU)
        route.do(
            links.limit_egress(tap, bucket),
            links.limit_egress(_index(intake_of(port)), bucket),
            messages.plug(tap, _index(BRIDGE)),
            messages.set_port(tap, learning=not interface.spoof_guard),
        )
        if interface.spoof_guard:
            route.do(messages.fix_address(tap, interface.mac))
        nft.apply(rules.of_port(port, interface))


def close_port(port: str) -> None:
    """Raises WorkerFault."""
    nft.apply(rules.close(port))


def drop_port(port: str) -> None:
    """Nothing of it is left; what it had claimed is free. Raises WorkerFault."""
    close_port(port)
    claimed4, claimed6 = (nft.elements("bridge", rules.TABLE, name) for name in rules.claims(port))
    nft.apply(rules.forget(port, claimed4, claimed6))
    with _netlink("port") as route:
        for name in (port, intake_of(port)):
            try:
                route.do(links.remove_link(_index(name)))
            except OSError as error:
                if not is_gone(error):
                    raise


def sent_bytes(wanted: list[str]) -> int:
    """What machines have sent by these ports."""
    total = 0
    for line in STATISTICS.read_text().splitlines():
        name, colon, figures = line.partition(":")
        if colon and name.strip() in wanted:
            total += int(figures.split()[0])
    return total


@contextlib.contextmanager
def _netlink(what: str) -> Iterator[RtNetlink]:
    """Of the calling thread's namespace. What it cannot do becomes a WorkerFault."""
    try:
        with RtNetlink() as route:
            yield route
    except OSError as error:
        raise WorkerFault(f"cannot lay out a {what}: {error.strerror or error}") from error


def _index(name: str) -> int:
    return socket.if_nametoindex(name)


def _is_there(name: str) -> bool:
    return any(known == name for _, known in socket.if_nameindex())
