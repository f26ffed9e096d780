"""Ethernet frames, byte by byte: good ones, and those that a hostile guest would make."""

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES = "33:33:00:00:00:01"
ARP, IPV4, IPV6, QTAG, STAG = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8
ECHO, ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 128, 133, 134
SOLICITATION, ADVERTISEMENT = 135, 136
NOBODY4, NOBODY6 = "0.0.0.0", "::"  # noqa: S104
EXPERIMENT = 0x88B5
"""An EtherType for local experiments: no program takes such frames for something else."""


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def frame(to: str, source: str, kind: int, payload: bytes) -> bytes:
    return mac(to) + mac(source) + struct.pack(">H", kind) + payload.ljust(46, b"\0")


def note(to: str, source: str, text: str) -> bytes:
    """One that says something that can be looked for."""
    return frame(to, source, EXPERIMENT, text.encode())


def tagged(plain: bytes, *tags: int, identifier: int = 7) -> bytes:
    """The same with VLAN tags of these kinds, the outermost first."""
    between = b"".join(struct.pack(">HH", tag, identifier) for tag in tags)
    return plain[:12] + between + plain[12:]


def in_llc(plain: bytes) -> bytes:
    """The same in the form of IEEE 802.3, with a length where the type was."""
    snap = b"\xaa\xaa\x03\0\0\0" + plain[12:]
    return plain[:12] + struct.pack(">H", len(snap)) + snap


def arp(
    source: str,
    says_mac: str,
    says: str,
    asks: str = NOBODY4,
    *,
    operation: int = 2,
    form: bytes = b"\0\1\x08\0\6\4",
) -> bytes:
    """`says_mac` has the address `says`."""
    body = form + struct.pack(">H", operation)
    body += mac(says_mac) + ipaddress.IPv4Address(says).packed
    body += bytes(6) + ipaddress.IPv4Address(asks).packed
    return frame(BROADCAST, source, ARP, body)


def packet4(to: str, source: str, address: str, text: str) -> bytes:
    data = text.encode()
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), 0, 0, 64, 253, 0)
    header += ipaddress.IPv4Address(address).packed + ipaddress.IPv4Address("10.255.0.1").packed
    header = header[:10] + struct.pack(">H", _sum(header)) + header[12:]
    return frame(to, source, IPV4, header + data)


def packet6(source: str, address: str, next_header: int, payload: bytes, to: str = "") -> bytes:
    header = struct.pack(">IHBB", 6 << 28, len(payload), next_header, 255)
    header += ipaddress.IPv6Address(address).packed + ipaddress.IPv6Address("ff02::1").packed
    return frame(to or ALL_NODES, source, IPV6, header + payload)


def advertisement(target: str, *options: bytes) -> bytes:
    """`target` is here, wherever the options say."""
    body = struct.pack(">BBHI", ADVERTISEMENT, 0, 0, 0x20000000)
    return body + ipaddress.IPv6Address(target).packed + b"".join(options)


def solicitation(target: str, *options: bytes) -> bytes:
    body = struct.pack(">BBHI", SOLICITATION, 0, 0, 0)
    return body + ipaddress.IPv6Address(target).packed + b"".join(options)


def router_solicitation(*options: bytes) -> bytes:
    return struct.pack(">BBHI", ROUTER_SOLICITATION, 0, 0, 0) + b"".join(options)


def router_advertisement(*options: bytes) -> bytes:
    body = struct.pack(">BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, 64, 0, 1800, 0, 0)
    return body + b"".join(options)


def source_option(address: str) -> bytes:
    return b"\1\1" + mac(address)


def target_option(address: str) -> bytes:
    return b"\2\1" + mac(address)


NONCE_OPTION = b"\x0e\1" + b"nonce!"


def icmp(source: str, address: str, message: bytes, to: str = "") -> bytes:
    return packet6(source, address, 58, message, to)


def behind_options(source: str, address: str, message: bytes) -> bytes:
    """Destination options stand before the message."""
    return packet6(source, address, 60, bytes([58, 0, 1, 4, 0, 0, 0, 0]) + message)


def fragment(
    source: str, address: str, next_header: int, part: bytes, *, offset: int = 0, more: bool = True
) -> bytes:
    """One fragment; `offset` in bytes."""
    header = struct.pack(">BBHI", next_header, 0, offset | more, 0x1234)
    return packet6(source, address, 44, header + part)


def _sum(header: bytes) -> int:
    total = sum(struct.unpack(">10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
