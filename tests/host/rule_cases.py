"""What a hostile guest may try on its network, frame by frame, and what in the rules stands against it.

`changes` makes a mutant of the ruleset, in which it passes: so each case is seen to be able to fail, and each rule to be
needed.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from scaibunker.worker.network.policy import Passage
from tests.host.lab import packets as p
from tests.host.lab import plan
from tests.host.lab.packets import Ends, parse
from tests.host.lab.rig import Change, Rig

MARK = b"mark-of-a-probe!"
BOTH = (Passage.NAMED, Passage.OPEN)
NAMED, OPEN = (Passage.NAMED,), (Passage.OPEN,)
FIRST = 1400
"""Bytes in the first of two fragments."""
SITE_V4, SITE_V6 = "203.0.113.100", "2001:db8:1::64"
LOOSE = (("ipv4__conf__all__rp_filter", 0), ("ipv4__conf__tap0__rp_filter", 0))
"""Without the kernel's own look at where sources belong."""


class Seen(Enum):
    """Where it shows that a frame has passed."""

    OUT = "on its way to the host"
    GATEWAY = "at a UDP socket of the slot"
    HEARD = "by the slot's kernel, as ICMPv6"
    ANSWERED = "by an answer to the guest"


@dataclass(frozen=True)
class Case:
    """`frames` are sent. `answer` tells the frame that shows it, with ANSWERED; `port` is the socket's, with GATEWAY.
    `sysctls` hold in the mutant alone."""

    name: str
    frames: Callable[[Rig], list[bytes]]
    changes: tuple[Change, ...]
    seen: Seen = Seen.OUT
    passages: tuple[Passage, ...] = OPEN
    answer: Callable[[bytes], bool] = lambda frame: MARK in frame
    port: int = 53
    sysctls: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _udp(ends: Ends, port: int = 4444, **more: object) -> bytes:
    return p.packet(ends, p.UDP, p.udp(ends, port, MARK), **more)  # type: ignore[arg-type]


def _off(*rules: str) -> tuple[Change, ...]:
    return tuple((rule, "") for rule in rules)


def _fragments(ends: Ends) -> list[bytes]:
    """One datagram in two pieces."""
    whole = p.udp(ends, 4444, MARK + bytes(2000))
    if not ends.v6:
        return [
            p.packet(ends, p.UDP, whole[:FIRST], fragment=0x2000),
            p.packet(ends, p.UDP, whole[FIRST:], fragment=FIRST // 8),
        ]
    first = struct.pack("!BBHI", 0, 0, 1, 99)
    last = struct.pack("!BBHI", 0, 0, FIRST, 99)
    return [
        p.packet(ends, p.UDP, whole[:FIRST], headers=((44, first),)),
        p.packet(ends, p.UDP, whole[FIRST:], headers=((44, last),)),
    ]


def _extended(kind: int, header: bytes) -> Callable[[Rig], list[bytes]]:
    def frames(rig: Rig) -> list[bytes]:
        return [_udp(rig.to(SITE_V6), headers=((kind, header),))]

    return frames


def _icmpv6(
    rig: Rig, kind: int, body: bytes, to: str, *, source: str | None = None, hops: int = 255
) -> bytes:
    multicast = "33:33:" + ":".join(f"{b:02x}" for b in p.address_bytes(to)[-4:])
    ends = Ends(
        source or str(rig.facts.guest_v6.ip),
        to,
        rig.facts.guest_mac,
        multicast if to.startswith("ff") else rig.facts.gateway_mac,
    )
    return p.packet(ends, p.ICMPV6, p.icmpv6(ends, kind, 0, body), hops=hops)


def _solicit(
    rig: Rig, target: str, *, source: str, mac: str | None = None, hops: int = 255
) -> bytes:
    body = (
        bytes(4) + p.address_bytes(target) + b"\x01\x01" + p.mac_bytes(mac or rig.facts.guest_mac)
    )
    return _icmpv6(rig, 135, body, target, source=source, hops=hops)


def _advertised(frame: bytes) -> bool:
    seen = parse(frame)
    return seen.protocol == p.ICMPV6 and seen.icmp == (136, 0)


def _arp_reply(frame: bytes) -> bool:
    seen = parse(frame)
    return seen.kind == p.ARP and seen.payload[6:8] == b"\0\x02"


def _asked_by_arp(rig: Rig, *, sender: str, mac: str, target: str | None = None) -> list[bytes]:
    ends = Ends("", "", rig.facts.guest_mac, p.BROADCAST)
    return [p.arp(ends, 1, sender_mac=mac, sender=sender, target=target or rig.gateway_v4)]


def _from_port(port: int) -> Callable[[bytes], bool]:
    """A SYN-ACK from it."""

    def wanted(frame: bytes) -> bool:
        seen = parse(frame)
        return seen.protocol == p.TCP and seen.ports[0] == port and seen.tcp_flags == p.SYN | p.ACK

    return wanted


def _tcp(rig: Rig, to: str, port: int) -> bytes:
    ends = rig.to(to)
    return p.packet(ends, p.TCP, p.tcp(ends, port, data=b""))


def _icmp_reply(frame: bytes) -> bool:
    seen = parse(frame)
    return seen.protocol in (p.ICMP, p.ICMPV6) and seen.icmp in ((0, 0), (129, 0))


SECOND_V4, SECOND_V6 = "198.18.0.9", "fd5c:a1ba:9000::3"
PADDING = b"\0\0\x01\x04\0\0\0\0"
ROUTING = b"\0\0\0\0\0\0\0\0"
EVEN_EXTENDED = (
    ("ip6 nexthdr != { icmpv6, tcp, udp } counter name malformed drop", ""),
    ("ct state new meta l4proto { tcp, udp } accept", "ct state new accept"),
)
WHATEVER_V4 = (
    ("ip protocol { icmp, tcp, udp } accept", "accept"),
    ("ct state new meta l4proto { tcp, udp } accept", "ct state new accept"),
)
ANY_ARP = (
    (
        " arp htype 1 arp ptype ip arp operation request arp saddr ether 02:5c:a1:00:00:02"
        " arp saddr ip 198.18.0.2 arp daddr ip 198.18.0.1 accept",
        " accept",
    ),
)
TO_INPUT = (('iifname != "tap0" drop', "accept"),)
"""Whatever is for the slot itself."""
NO_PKTTYPE = _off("meta pkttype != host counter name strayed drop")
ANY_ADDRESS = (("goto refuse_address", "accept"),)
FORWARDED = (
    ('iifname "tap0" goto refuse_profile', 'iifname "tap0" accept'),
)  # fmt: skip

FORGED = [
    Case("another source MAC", lambda r: [_udp(r.to(SITE_V4, source_mac="02:00:00:00:00:99"))],
         _off("ether saddr != 02:5c:a1:00:00:02 counter name spoofed_mac drop")),
    Case("another source MAC over IPv6", lambda r: [_udp(r.to(SITE_V6, source_mac="02:00:00:00:00:99"))],
         _off("ether saddr != 02:5c:a1:00:00:02 counter name spoofed_mac drop")),
    Case("an address nearby", lambda r: [_udp(r.to(SITE_V4, source=SECOND_V4))],
         _off("ip saddr != 198.18.0.2 counter name spoofed_address drop"), sysctls=LOOSE),
    Case("a stranger's address", lambda r: [_udp(r.to(SITE_V4, source="203.0.113.77"))],
         _off("ip saddr != 198.18.0.2 counter name spoofed_address drop"), sysctls=LOOSE),
    Case("the host's transfer address", lambda r: [_udp(r.to(SITE_V4, source=str(r.facts.host_transfer_v4)))],
         _off("ip saddr != 198.18.0.2 counter name spoofed_address drop"), sysctls=LOOSE),
    Case("another IPv6 address of its own link", lambda r: [_udp(r.to(SITE_V6, source=SECOND_V6))],
         _off("ip6 saddr != fd5c:a1ba:9000::2 counter name spoofed_address drop")),
    Case("a stranger's IPv6 address", lambda r: [_udp(r.to(SITE_V6, source="2001:db8:1::77"))],
         _off("ip6 saddr != fd5c:a1ba:9000::2 counter name spoofed_address drop")),
    Case("a link-local address", lambda r: [_udp(r.to(r.gateway_v6, source=r.guest_link_local), 53)],
         _off("ip6 saddr != fd5c:a1ba:9000::2 counter name spoofed_address drop"),
         seen=Seen.GATEWAY, passages=BOTH),
    Case("ARP in another's name", lambda r: _asked_by_arp(r, sender=SECOND_V4, mac=r.facts.guest_mac),
         ANY_ARP, Seen.ANSWERED, BOTH, _arp_reply, sysctls=LOOSE),
    Case("ARP with another MAC", lambda r: _asked_by_arp(r, sender=str(r.facts.guest_v4.ip), mac="02:00:00:00:00:99"),
         ANY_ARP, Seen.ANSWERED, BOTH, _arp_reply),
    Case("ARP for what is beyond", lambda r: _asked_by_arp(r, sender=str(r.facts.guest_v4.ip), mac=r.facts.guest_mac,
         target=str(r.facts.transfer_v4)), ANY_ARP, Seen.ANSWERED, BOTH, _arp_reply,
         sysctls=(("ipv4__conf__tap0__arp_ignore", 0), ("ipv4__conf__all__arp_ignore", 0))),
    Case("a solicitation from a foreign address", lambda r: [_solicit(r, r.gateway_v6, source=SECOND_V6)],
         _off("ip6 saddr != { fd5c:a1ba:9000::2, fe80::5c:a1ff:fe00:2 } counter name spoofed_address drop"),
         Seen.ANSWERED, BOTH, _advertised),
    Case("a solicitation from a foreign link-local address", lambda r: [_solicit(r, r.gateway_v6, source="fe80::bad")],
         _off("ip6 saddr != { fd5c:a1ba:9000::2, fe80::5c:a1ff:fe00:2 } counter name spoofed_address drop"),
         Seen.ANSWERED, BOTH, _advertised),
    Case("an advertisement for another", lambda r: [_icmpv6(r, 136, b"\x60\0\0\0" + p.address_bytes(SECOND_V6)
         + b"\x02\x01" + p.mac_bytes(r.facts.guest_mac) + MARK, r.gateway_v6)],
         (("icmpv6 type nd-neighbor-advert @th,64,128", "icmpv6 type nd-neighbor-advert accept\nip6 hoplimit 9 @th,64,128"),),
         Seen.HEARD, BOTH),
]  # fmt: skip

MALFORMED = [
    Case("IPv4 options", lambda r: [_udp(r.to(SITE_V4), options=b"\x07\x07\x04\0\0\0\0\0")],
         _off("ip hdrlength != 5 counter name malformed drop")),
    Case("IPv4 fragments", lambda r: _fragments(r.to(SITE_V4)),
         _off("ip frag-off & 0x3fff != 0 counter name malformed drop")),
    Case("IPv6 fragments", lambda r: _fragments(r.to(SITE_V6)), EVEN_EXTENDED),
    Case("an atomic IPv6 fragment", _extended(44, struct.pack("!BBHI", 0, 0, 0, 7)), EVEN_EXTENDED),
    Case("a hop-by-hop header", _extended(0, PADDING), EVEN_EXTENDED),
    Case("destination options", _extended(60, PADDING), EVEN_EXTENDED),
    Case("a routing header", _extended(43, ROUTING), EVEN_EXTENDED),
    Case("a mobility header", _extended(135, b"\0\0\0\0\0\0\0\0"), EVEN_EXTENDED),
    Case("an authentication header", _extended(51, b"\0\x01\0\0\0\0\0\x01\0\0\0\x01"), EVEN_EXTENDED),
    Case("GRE", lambda r: [p.packet(r.to(SITE_V4), 47, b"\0\0\x08\0" + MARK)], WHATEVER_V4),
    Case("IPv6 in IPv4", lambda r: [p.packet(r.to(SITE_V4), 41, b"\x60\0\0\0" + MARK)], WHATEVER_V4),
    Case("GRE over IPv6", lambda r: [p.packet(r.to(SITE_V6), 47, b"\0\0\x08\0" + MARK)], EVEN_EXTENDED),
    Case("a broadcast", lambda r: [_udp(Ends(str(r.facts.guest_v4.ip), "255.255.255.255", r.facts.guest_mac, p.BROADCAST), 53)],
         (*NO_PKTTYPE, *TO_INPUT), Seen.GATEWAY, BOTH),
    Case("a router advertisement", lambda r: [_icmpv6(r, 134, b"\x40\0\x07\x08" + bytes(8) + MARK, "ff02::1")],
         (*NO_PKTTYPE, *TO_INPUT), Seen.HEARD, BOTH),
    Case("a router solicitation", lambda r: [_icmpv6(r, 133, bytes(4) + MARK, "ff02::2")],
         (*NO_PKTTYPE, *TO_INPUT), Seen.HEARD, BOTH),
    Case("a redirect", lambda r: [_icmpv6(r, 137, bytes(4) + p.address_bytes(SITE_V6) * 2 + MARK, r.gateway_v6)],
         TO_INPUT, Seen.HEARD, BOTH),
]  # fmt: skip

NEVER_V4 = "ip daddr != @reach4 goto refuse_never"
NEVER_V6 = "ip6 daddr != @reach6 goto refuse_never"


def _unreachable(name: str, address: str) -> Case:
    rule = NEVER_V6 if ":" in address else NEVER_V4
    return Case(name, lambda r: [_udp(r.to(address))], _off(rule))


UNREACHABLE = [
    _unreachable("metadata", plan.METADATA_V4),
    _unreachable("metadata over IPv6", plan.METADATA_V6),
    _unreachable("metadata, wrapped", "64:ff9b::a9fe:a9fe"),
    _unreachable("metadata by 6to4", "2002:a9fe:a9fe::1"),
    _unreachable("the host", plan.HOST_V4),
    _unreachable("the host over IPv6", plan.HOST_V6),
    _unreachable("a peer", plan.PEER_V4),
    _unreachable("a peer over IPv6", plan.PEER_V6),
    _unreachable("the controller", plan.CONTROLLER_V4),
    _unreachable("the controller over IPv6", plan.CONTROLLER_V6),
    _unreachable("another slot", "198.19.0.5"),
    _unreachable("another slot over IPv6", "fd5c:a1ba:9001::5"),
    _unreachable("the host's end of its own pair", "198.19.0.2"),
    Case("TCP to metadata", lambda r: [_tcp(r, plan.METADATA_V4, 80)], _off(NEVER_V4),
         answer=lambda frame: parse(frame).destination == plan.METADATA_V4),
    Case("ICMP to a peer", lambda r: [p.packet(r.to(plan.PEER_V4), p.ICMP, p.icmp(8, 0, bytes(4) + MARK))], _off(NEVER_V4)),
    Case("a timestamp request", lambda r: [p.packet(r.to(SITE_V4), p.ICMP, p.icmp(13, 0, bytes(16) + MARK))],
         (("ct state new icmp type echo-request", "ct state new"),)),
]  # fmt: skip

NOT_NAMED = [
    Case("UDP to the world", lambda r: [_udp(r.to(SITE_V4))], FORWARDED, passages=NAMED),
    Case("UDP to the world over IPv6", lambda r: [_udp(r.to(SITE_V6))], FORWARDED, passages=NAMED),
    Case("QUIC", lambda r: [_udp(r.to(SITE_V4), 443)], FORWARDED, passages=NAMED),
    Case("DNS of another", lambda r: [_udp(r.to(plan.OTHER_DNS_V4), 53)], FORWARDED, passages=NAMED),
    Case("DNS of the host's resolver", lambda r: [_udp(r.to(plan.RESOLVER_V4), 53)], FORWARDED, passages=NAMED),
    Case("DNS of another over IPv6", lambda r: [_udp(r.to(plan.OTHER_DNS_V6), 53)], FORWARDED, passages=NAMED),
    Case("an echo request", lambda r: [p.packet(r.to(SITE_V4), p.ICMP, p.icmp(8, 0, bytes(4) + MARK))],
         FORWARDED, passages=NAMED),
    Case("an echo request over IPv6", lambda r: [_icmpv6(r, 128, bytes(4) + MARK, SITE_V6)], FORWARDED, passages=NAMED),
    Case("TCP that is not diverted", lambda r: [_tcp(r, SITE_V4, 80)],
         (*FORWARDED, *ANY_ADDRESS, ("ip daddr != 198.18.0.1 meta l4proto tcp dnat ip to 198.18.0.1:1", "accept")),
         passages=NAMED, answer=lambda frame: parse(frame).destination == SITE_V4),
    Case("TCP to an address without a name", lambda r: [_tcp(r, SITE_V4, 80)],
         ANY_ADDRESS, Seen.ANSWERED, NAMED, _from_port(80)),
    Case("TCP to an IPv6 address without a name", lambda r: [_tcp(r, SITE_V6, 80)],
         ANY_ADDRESS, Seen.ANSWERED, NAMED, _from_port(80)),
    Case("TCP to a port for names", lambda r: [_tcp(r, SITE_V4, 853)],
         (*ANY_ADDRESS, *_off("tcp dport 853 goto refuse_port")), Seen.ANSWERED, NAMED, _from_port(853)),
]  # fmt: skip

GATEWAY = [
    Case("UDP to the gateway", lambda r: [_udp(r.to(r.gateway_v4), 5353)], TO_INPUT, Seen.GATEWAY, BOTH, port=5353),
    Case("UDP to the gateway over IPv6", lambda r: [_udp(r.to(r.gateway_v6), 5353)], TO_INPUT, Seen.GATEWAY, BOTH, port=5353),
    Case("UDP to the slot's outer address", lambda r: [_udp(r.to(str(r.facts.transfer_v4)), 53)],
         (*TO_INPUT,), Seen.GATEWAY, BOTH),
    Case("TCP to the proxy itself", lambda r: [_tcp(r, r.gateway_v4, 1)],
         ((" ct status dnat accept", " accept"),), Seen.ANSWERED, NAMED, _from_port(1)),
    Case("TCP to the proxy itself over IPv6", lambda r: [_tcp(r, r.gateway_v6, 1)],
         ((" ct status dnat accept", " accept"),), Seen.ANSWERED, NAMED, _from_port(1)),
    Case("an echo request to the gateway", lambda r: [p.packet(r.to(r.gateway_v4), p.ICMP, p.icmp(8, 0, bytes(4) + MARK))],
         TO_INPUT, Seen.ANSWERED, BOTH, _icmp_reply),
    Case("an echo request to the gateway over IPv6", lambda r: [_icmpv6(r, 128, bytes(4) + MARK, r.gateway_v6)],
         TO_INPUT, Seen.ANSWERED, BOTH, _icmp_reply),
]  # fmt: skip

FORBIDDEN = [*FORGED, *MALFORMED, *UNREACHABLE, *NOT_NAMED, *GATEWAY]
