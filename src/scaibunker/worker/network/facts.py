"""What rulesets are made of besides the policy: how a slot, and this worker's part of the host, are laid out.

Data only. `rules` reads it, `links` and `sysctls` make it so.
"""

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from scaibunker.worker.network.flow_sockets import REFUSALS_GROUP

TAP = "tap0"
UPLINK = "up0"
INTAKE = "in0"
"""The IFB through which what the guest sends is led, to be slowed down. Rules see such packets come in at TAP."""

GUEST_MAC = "02:5c:a1:00:00:02"
GATEWAY_MAC = "02:5c:a1:00:00:01"
GUEST_V4 = IPv4Interface("198.18.0.2/30")
GUEST_V6 = IPv6Interface("fd5c:a1ba:9000::2/64")
GATEWAY_V4 = IPv4Address("198.18.0.1")
GATEWAY_V6 = IPv6Address("fd5c:a1ba:9000::1")
GATEWAY_LINK_LOCAL = IPv6Address("fe80::1")
DNS_PORT = 53
PROXY_PORT = 1
"""Bound before anything can be admitted, below the ports that are given to those who ask for none."""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot, seen from inside its namespace. What guests see is the same in every slot, so that a copy of a machine
    needs no new numbers; the transfer addresses are the slot's own.

    `guest_*`, `gateway_*`: what the guest has, and what it sees beyond its interface (`gateway_*` are the TAP's
    addresses; resolver and proxy listen on them at `dns_port` and `proxy_port`). `transfer_*`: the slot's end of the
    pair to the host, `host_transfer_*` the host's end, each known to the other by a fixed MAC. Traffic that is
    forwarded leaves the slot by `transfer_*`, never by an address of the guest. `max_flows` bounds its connections.
    """

    transfer_v4: IPv4Address
    transfer_v6: IPv6Address
    host_transfer_v4: IPv4Address
    host_transfer_v6: IPv6Address
    mtu: int
    tap: str = TAP
    uplink: str = UPLINK
    guest_mac: str = GUEST_MAC
    gateway_mac: str = GATEWAY_MAC
    guest_v4: IPv4Interface = GUEST_V4
    guest_v6: IPv6Interface = GUEST_V6
    gateway_v4: IPv4Address = GATEWAY_V4
    gateway_v6: IPv6Address = GATEWAY_V6
    gateway_link_local: IPv6Address = GATEWAY_LINK_LOCAL
    dns_port: int = DNS_PORT
    proxy_port: int = PROXY_PORT
    refusals_group: int = REFUSALS_GROUP
    max_flows: int = 16_384


@dataclass(frozen=True, slots=True)
class HostFacts:
    """This worker's part of the host's own namespace. `table`: the name of its tables there, which nobody else's are
    called. `uplinks`: how the names of the slots' interfaces on the host begin (nft: `iifname "sbk…*"`).
    `transfer_*`: the ranges that the slots' transfer addresses are from; other workers on this host may use the same.
    `outward`: the interface through which the slots' traffic leaves; None: whichever the routes say."""

    table: str
    uplinks: str
    transfer_v4: IPv4Network
    transfer_v6: IPv6Network
    outward: str | None = None
