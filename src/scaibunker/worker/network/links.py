"""A slot's interfaces, with their addresses, neighbours and routes: by netlink, in two namespaces.

Both ends of the pair to the host know each other by a fixed MAC, and the slot knows the guest by its own: nobody can have
them believe another one by ARP or neighbour discovery.
"""

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import bandwidth, messages, netns, taps
from scaibunker.worker.network.facts import INTAKE, SlotFacts
from scaibunker.worker.network.messages import Address
from scaibunker.worker.network.rtnetlink import RtNetlink, attributes, is_gone

PAIR_V4, PAIR_V6 = 31, 127
LINK_LOCAL_PREFIX = 64


def host_mac(number: int) -> str:
    """Of the host's end of slot `number`'s pair."""
    return _mac("02:5c:a2", number)


def uplink_mac(number: int) -> str:
    """Of the slot's end."""
    return _mac("02:5c:a3", number)


@contextlib.contextmanager
def netlink() -> Iterator[RtNetlink]:
    """Of the calling thread's namespace. What it cannot do becomes a WorkerFault."""
    try:
        with RtNetlink() as route:
            yield route
    except OSError as error:
        raise WorkerFault(f"cannot lay out a network: {error.strerror or error}") from error


def make_pair(number: int, link: str, namespace: str, facts: SlotFacts) -> None:
    """In the host's namespace: both ends, down. Raises WorkerFault."""
    with netlink() as route, netns.opened(namespace) as there:
        macs = host_mac(number), uplink_mac(number)
        route.do(messages.new_pair(link, macs[0], facts.uplink, macs[1], there, facts.mtu))


def raise_host_end(number: int, link: str, facts: SlotFacts) -> None:
    """In the host's namespace, when the other end is as it should be. Raises WorkerFault."""
    with netlink() as route:
        index, mac = socket.if_nametoindex(link), uplink_mac(number)
        route.do(
            messages.raise_link(index),
            messages.new_address(index, facts.host_transfer_v4, PAIR_V4),
            messages.new_address(index, facts.host_transfer_v6, PAIR_V6),
            messages.new_neighbour(index, facts.transfer_v4, mac),
            messages.new_neighbour(index, facts.transfer_v6, mac),
        )


def furnish(number: int, facts: SlotFacts, mbit: int) -> None:
    """In the slot's namespace, where the pair's end is already. Raises WorkerFault."""
    with netlink() as route:
        taps.create(facts.tap)
        route.do(messages.new_ifb(INTAKE, facts.mtu))
        lo, tap, intake, uplink = (
            socket.if_nametoindex(name) for name in ("lo", facts.tap, INTAKE, facts.uplink)
        )
        bucket, mac = bandwidth.bucket(mbit, facts.mtu), host_mac(number)
        route.do(
            messages.change_link(tap, facts.gateway_mac, facts.mtu),
            *(messages.raise_link(index) for index in (lo, intake, uplink, tap)),
            messages.new_address(tap, facts.gateway_v4, facts.guest_v4.network.prefixlen),
            messages.new_address(tap, facts.gateway_v6, facts.guest_v6.network.prefixlen),
            messages.new_address(tap, facts.gateway_link_local, LINK_LOCAL_PREFIX),
            messages.new_neighbour(tap, facts.guest_v4.ip, facts.guest_mac),
            messages.new_neighbour(tap, facts.guest_v6.ip, facts.guest_mac),
            messages.new_address(uplink, facts.transfer_v4, PAIR_V4),
            messages.new_address(uplink, facts.transfer_v6, PAIR_V6),
            messages.new_neighbour(uplink, facts.host_transfer_v4, mac),
            messages.new_neighbour(uplink, facts.host_transfer_v6, mac),
            messages.new_default_route(uplink, facts.host_transfer_v4),
            messages.new_default_route(uplink, facts.host_transfer_v6),
            messages.limit_egress(tap, bucket),
            messages.limit_egress(intake, bucket),
            messages.new_ingress(tap),
            messages.redirect_all(tap, intake),
        )


def limit(facts: SlotFacts, mbit: int) -> None:
    """In the slot's namespace: from now on so many Mbit/s each way. Raises WorkerFault."""
    bucket = bandwidth.bucket(mbit, facts.mtu)
    with netlink() as route:
        indexes = [socket.if_nametoindex(name) for name in (facts.tap, INTAKE)]
        route.do(*(messages.limit_egress(index, bucket) for index in indexes))


def remove(name: str) -> None:
    """In the calling thread's namespace; nothing if it is not there. Raises WorkerFault."""
    index = {called: index for index, called in socket.if_nameindex()}.get(name)
    if index is None:
        return
    with netlink() as route:
        try:
            route.do(messages.remove_link(index))
        except OSError as error:
            if not is_gone(error):
                raise


def names() -> list[str]:
    """Of all interfaces of the calling thread's namespace."""
    return [name for _, name in socket.if_nameindex()]


def addresses() -> list[tuple[str, Address]]:
    """Interface and address of each in the calling thread's namespace. Raises WorkerFault."""
    with netlink() as route:
        called = dict(socket.if_nameindex())
        found = []
        for body in route.dump(messages.GETADDR, messages.ADDRESS.pack(0, 0, 0, 0, 0)):
            *_, index = messages.ADDRESS.unpack_from(body)
            said = attributes(body[messages.ADDRESS.size :])
            packed = said.get(messages.ADDRESS_LOCAL) or said.get(messages.ADDRESS_ADDRESS)
            if packed is not None:
                found.append((called.get(index, ""), ip_address(packed)))
    return found


def default_interfaces() -> list[str]:
    """Those that default routes of the calling thread's namespace leave by, IPv4's first. Raises WorkerFault."""
    called = dict(socket.if_nameindex())
    found = []
    with netlink() as route:
        for family in (messages.AF_INET, messages.AF_INET6):
            request = messages.ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            for body in route.dump(messages.GETROUTE, request):
                _, prefix, _, _, table, _, _, kind, _ = messages.ROUTE.unpack_from(body)
                if (prefix, table, kind) != (0, messages.MAIN_TABLE, messages.UNICAST):
                    continue
                said = attributes(body[messages.ROUTE.size :])
                index = int.from_bytes(said.get(messages.ROUTE_INTERFACE, b""), "little")
                if index in called:
                    found.append(called[index])
    return found


def _mac(prefix: str, number: int) -> str:
    return f"{prefix}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
