"""The messages of rtnetlink that lay out a slot. Interfaces are named by their index."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from scaibunker.worker.network.rtnetlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Message,
    attribute,
    nested,
    number,
    text,
)

Address = IPv4Address | IPv6Address

NEWLINK, DELLINK, NEWADDR, GETADDR, NEWROUTE, GETROUTE = 16, 17, 20, 22, 24, 26
NEWNEIGH, NEWQDISC, NEWTFILTER = 28, 36, 44
NEW = CREATE | EXCLUSIVE
AF_INET, AF_INET6 = 2, 10

LINK = struct.Struct("=BxHiII")
LINK_ADDRESS, LINK_NAME, LINK_MTU, LINK_INFO, LINK_NETNS = 1, 3, 4, 18, 28
INFO_KIND, INFO_DATA, VETH_PEER = 1, 2, 1
UP = 1

ADDRESS = struct.Struct("=BBBBI")
ADDRESS_ADDRESS, ADDRESS_LOCAL, ADDRESS_FLAGS = 1, 2, 8
NODAD = 0x02

ROUTE = struct.Struct("=BBBBBBBBI")
ROUTE_INTERFACE, ROUTE_GATEWAY = 4, 5
MAIN_TABLE, STATIC, UNICAST = 254, 4, 1

NEIGHBOUR = struct.Struct("=BxHiHBB")
NEIGHBOUR_ADDRESS, NEIGHBOUR_MAC = 1, 2
PERMANENT = 0x80

TC = struct.Struct("=BxHiIII")
TC_KIND, TC_OPTIONS = 1, 2
TC_ROOT, TC_INGRESS, TC_INGRESS_HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000
TBF_HANDLE, TBF_PARAMETERS, TBF_BURST = 0x10000, 1, 6
ETHERNET = 1
RATE = struct.Struct("=BBHhHI")
U32_CLASS, U32_SELECTOR, U32_ACTION = 1, 5, 7
U32_TERMINAL = 1
ACTION_KIND, ACTION_OPTIONS, MIRRED_PARAMETERS = 1, 2, 2
STOLEN, EGRESS_REDIRECT = 4, 1
ALL_PROTOCOLS = 0x0300
"""ETH_P_ALL, in the network's order."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Of a token bucket filter: `rate` in bytes a second; `burst`, and `limit` (what may wait), in bytes."""

    rate: int
    burst: int
    limit: int


def new_pair(
    name: str, mac: str, peer: str, peer_mac: str, peer_namespace: int, mtu: int
) -> Message:
    """`peer_namespace`: a descriptor of the one where the peer is to be."""
    there = _named(peer, peer_mac, mtu) + number(LINK_NETNS, peer_namespace)
    data = nested(INFO_DATA, nested(VETH_PEER, LINK.pack(0, 0, 0, 0, 0) + there))
    info = nested(LINK_INFO, text(INFO_KIND, "veth"), data)
    body = LINK.pack(0, 0, 0, 0, 0) + _named(name, mac, mtu) + info
    return Message(NEWLINK, NEW, body, f"veth {name}")


def new_ifb(name: str, mtu: int) -> Message:
    info = nested(LINK_INFO, text(INFO_KIND, "ifb"))
    body = LINK.pack(0, 0, 0, 0, 0) + text(LINK_NAME, name) + number(LINK_MTU, mtu) + info
    return Message(NEWLINK, NEW, body, f"ifb {name}")


def change_link(index: int, mac: str, mtu: int) -> Message:
    body = LINK.pack(0, 0, index, 0, 0) + attribute(LINK_ADDRESS, _mac(mac)) + number(LINK_MTU, mtu)
    return Message(NEWLINK, 0, body, "MAC and MTU")


def raise_link(index: int) -> Message:
    return Message(NEWLINK, 0, LINK.pack(0, 0, index, UP, UP), "interface up")


def remove_link(index: int) -> Message:
    return Message(DELLINK, 0, LINK.pack(0, 0, index, 0, 0), "interface")


def new_address(index: int, address: Address, prefix: int) -> Message:
    body = ADDRESS.pack(_family(address), prefix, 0, 0, index)
    body += attribute(ADDRESS_LOCAL, address.packed) + attribute(ADDRESS_ADDRESS, address.packed)
    return Message(NEWADDR, NEW, body + number(ADDRESS_FLAGS, NODAD), f"address {address}")


def new_neighbour(index: int, address: Address, mac: str) -> Message:
    """One that nothing that is heard on the interface changes."""
    body = NEIGHBOUR.pack(_family(address), 0, index, PERMANENT, 0, 0)
    body += attribute(NEIGHBOUR_ADDRESS, address.packed) + attribute(NEIGHBOUR_MAC, _mac(mac))
    return Message(NEWNEIGH, CREATE | REPLACE, body, f"neighbour {address}")


def new_default_route(index: int, gateway: Address) -> Message:
    body = ROUTE.pack(_family(gateway), 0, 0, 0, MAIN_TABLE, STATIC, 0, UNICAST, 0)
    body += attribute(ROUTE_GATEWAY, gateway.packed) + number(ROUTE_INTERFACE, index)
    return Message(NEWROUTE, NEW, body, f"route by {gateway}")


def limit_egress(index: int, bucket: Bucket) -> Message:
    """In place of any limit before; what waits goes on waiting."""
    rate = RATE.pack(0, ETHERNET, 0, 0, 0, bucket.rate)
    parameters = rate + bytes(RATE.size) + struct.pack("=III", bucket.limit, 0, 0)
    options = nested(
        TC_OPTIONS, attribute(TBF_PARAMETERS, parameters), number(TBF_BURST, bucket.burst)
    )
    body = TC.pack(0, 0, index, TBF_HANDLE, TC_ROOT, 0) + text(TC_KIND, "tbf") + options
    return Message(NEWQDISC, CREATE | REPLACE, body, "tbf")


def new_ingress(index: int) -> Message:
    body = TC.pack(0, 0, index, TC_INGRESS_HANDLE, TC_INGRESS, 0) + text(TC_KIND, "ingress")
    return Message(NEWQDISC, NEW, body, "ingress qdisc")


def redirect_all(index: int, target: int) -> Message:
    """What interface `index` receives comes out of `target`."""
    key = struct.pack("=IIii", 0, 0, 0, 0)
    selector = struct.pack("=BBBxHHhhI", U32_TERMINAL, 0, 1, 0, 0, 0, 0, 0) + key
    mirred = struct.pack("=IIiiiiI", 0, 0, STOLEN, 0, 0, EGRESS_REDIRECT, target)
    action = nested(
        1, text(ACTION_KIND, "mirred"), nested(ACTION_OPTIONS, attribute(MIRRED_PARAMETERS, mirred))
    )
    options = nested(
        TC_OPTIONS,
        number(U32_CLASS, TBF_HANDLE),
        attribute(U32_SELECTOR, selector),
        nested(U32_ACTION, action),
    )
    info = 1 << 16 | ALL_PROTOCOLS
    body = TC.pack(0, 0, index, 0, TC_INGRESS_HANDLE, info) + text(TC_KIND, "u32") + options
    return Message(NEWTFILTER, NEW, body, "redirect to an IFB")


def _named(name: str, mac: str, mtu: int) -> bytes:
    return text(LINK_NAME, name) + attribute(LINK_ADDRESS, _mac(mac)) + number(LINK_MTU, mtu)


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def _family(address: Address) -> int:
    return AF_INET if address.version == 4 else AF_INET6
