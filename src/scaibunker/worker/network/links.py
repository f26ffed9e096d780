"""A slot's interfaces, with their addresses, neighbours and routes: by netlink, in two namespaces.

Both ends of the pair to the host know each other by a fixed MAC, and the slot knows the guest by its own: nobody can have
them believe another one by ARP or neighbour discovery.
"""

import contextlib
import errno
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import bandwidth, taps
from scaibunker.worker.network.facts import INTAKE, SlotFacts

Address = IPv4Address | IPv6Address

NODAD = 0x02
PERMANENT = 0x80
PAIR_V4, PAIR_V6 = 31, 127
LINK_LOCAL_PREFIX = 64
GONE = (errno.ENODEV, errno.ENOENT)


def host_mac(number: int) -> str:
    """Of the host's end of slot `number`'s pair."""
    return _mac("02:5c:a2", number)


def uplink_mac(number: int) -> str:
    """Of the slot's end."""
    return _mac("02:5c:a3", number)


@contextlib.contextmanager
def netlink() -> Iterator[Any]:
    """An `IPRoute` of the calling thread's namespace. What it cannot do becomes a WorkerFault."""
    try:
        with IPRoute() as route:
            yield route
    except (NetlinkError, OSError) as error:
        raise WorkerFault(f"cannot lay out a network: {error}") from error


def make_pair(number: int, link: str, namespace: str, facts: SlotFacts) -> None:
    """In the host's namespace: both ends, down. Raises WorkerFault."""
    with netlink() as route:
        route.link(
            "add", kind="veth", ifname=link, address=host_mac(number), mtu=facts.mtu,
            peer={
                "ifname": facts.uplink,
                "address": uplink_mac(number),
                "mtu": facts.mtu,
                "net_ns_fd": namespace,
            },
        )  # fmt: skip


def raise_host_end(number: int, link: str, facts: SlotFacts) -> None:
    """In the host's namespace, when the other end is as it should be. Raises WorkerFault."""
    with netlink() as route:
        index = index_of(route, link)
        route.link("set", index=index, state="up")
        _number(route, index, facts.host_transfer_v4, PAIR_V4)
        _number(route, index, facts.host_transfer_v6, PAIR_V6)
        for address in (facts.transfer_v4, facts.transfer_v6):
            _know(route, index, address, uplink_mac(number))


def furnish(number: int, facts: SlotFacts, mbit: int) -> None:
    """In the slot's namespace, where the pair's end is already. Raises WorkerFault."""
    try:
        taps.create(facts.tap)
    except OSError as error:
        raise WorkerFault(f"cannot make a TAP: {error}") from error
    with netlink() as route:
        route.link("add", kind="ifb", ifname=INTAKE, mtu=facts.mtu)
        tap, intake, uplink = (index_of(route, n) for n in (facts.tap, INTAKE, facts.uplink))
        route.link("set", index=tap, address=facts.gateway_mac, mtu=facts.mtu)
        for index in (index_of(route, "lo"), intake, uplink, tap):
            route.link("set", index=index, state="up")
        _number(route, tap, facts.gateway_v4, facts.guest_v4.network.prefixlen)
        _number(route, tap, facts.gateway_v6, facts.guest_v6.network.prefixlen)
        _number(route, tap, facts.gateway_link_local, LINK_LOCAL_PREFIX)
        for guest in (facts.guest_v4.ip, facts.guest_v6.ip):
            _know(route, tap, guest, facts.guest_mac)
        _number(route, uplink, facts.transfer_v4, PAIR_V4)
        _number(route, uplink, facts.transfer_v6, PAIR_V6)
        for gateway in (facts.host_transfer_v4, facts.host_transfer_v6):
            _know(route, uplink, gateway, host_mac(number))
            route.route(
                "add", dst="default", gateway=str(gateway), oif=uplink, family=_family(gateway)
            )
        bucket = bandwidth.bucket(mbit, facts.mtu)
        for index in (tap, intake):
            bandwidth.limit_egress(route, index, bucket)
        bandwidth.lead_through(route, tap, intake)


def limit(facts: SlotFacts, mbit: int) -> None:
    """In the slot's namespace: from now on so many Mbit/s each way. Raises WorkerFault."""
    bucket = bandwidth.bucket(mbit, facts.mtu)
    with netlink() as route:
        for name in (facts.tap, INTAKE):
            bandwidth.limit_egress(route, index_of(route, name), bucket)


def remove(name: str) -> None:
    """In the calling thread's namespace; nothing if it is not there. Raises WorkerFault."""
    with netlink() as route, _unless_gone():
        found = route.link_lookup(ifname=name)
        if found:
            route.link("del", index=found[0])


def names() -> list[str]:
    """Of all interfaces of the calling thread's namespace. Raises WorkerFault."""
    with netlink() as route:
        return [link.get("ifname") for link in route.get_links()]


def parse(text: str) -> Address | None:
    """None if it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def index_of(route: IPRoute, name: str) -> int:
    """Raises WorkerFault."""
    found = route.link_lookup(ifname=name)
    if not found:
        raise WorkerFault(f"there is no interface {name}")
    return int(found[0])


def _number(route: IPRoute, index: int, address: Address, prefix: int) -> None:
    route.addr("add", index=index, address=str(address), prefixlen=prefix, flags=NODAD)


def _know(route: IPRoute, index: int, address: Address, mac: str) -> None:
    route.neigh(
        "add", ifindex=index, dst=str(address), lladdr=mac, state=PERMANENT, family=_family(address)
    )


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in GONE:
            raise


def _family(address: Address) -> int:
    return 2 if address.version == 4 else 10


def _mac(prefix: str, number: int) -> str:
    return f"{prefix}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
