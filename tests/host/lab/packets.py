"""Frames made by hand, as a hostile guest makes them: whatever is asked for, right or wrong."""

import socket
import struct
from dataclasses import dataclass, field

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
SYN, RST, ACK = 0x02, 0x04, 0x10
BROADCAST = "ff:ff:ff:ff:ff:ff"


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def address_bytes(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Ends:
    """Who speaks to whom: MACs and addresses, which of both families decides."""

    source: str
    destination: str
    source_mac: str
    destination_mac: str

    @property
    def v6(self) -> bool:
        return ":" in self.source


def ethernet(ends: Ends, kind: int, payload: bytes) -> bytes:
    return (
        mac_bytes(ends.destination_mac)
        + mac_bytes(ends.source_mac)
        + struct.pack("!H", kind)
        + payload
    )


def packet(
    ends: Ends,
    protocol: int,
    payload: bytes,
    *,
    options: bytes = b"",
    fragment: int = 0,
    hops: int = 64,
    headers: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """A whole frame. IPv4: `options`, and `fragment` as the header has it. IPv6: `headers`, extension headers with their
    types, whose first byte is filled in."""
    source, destination = address_bytes(ends.source), address_bytes(ends.destination)
    if not ends.v6:
        length = 20 + len(options)
        head = struct.pack(
            "!BBHHHBBH4s4s", 0x40 | length // 4, 0, length + len(payload), 7, fragment, hops, protocol, 0,
            source, destination,
        ) + options  # fmt: skip
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return ethernet(ends, IPV4, head + payload)
    following = [*[kind for kind, _ in headers[1:]], protocol][: len(headers)]
    chain = b"".join(
        bytes([kind]) + body[1:] for kind, (_, body) in zip(following, headers, strict=True)
    )
    first = headers[0][0] if headers else protocol
    body = chain + payload
    head = struct.pack("!IHBB16s16s", 6 << 28, len(body), first, hops, source, destination)
    return ethernet(ends, IPV6, head + body)


def _summed(ends: Ends, protocol: int, segment: bytes, at: int) -> bytes:
    """With the checksum over the addresses too."""
    pseudo = address_bytes(ends.source) + address_bytes(ends.destination)
    pseudo += struct.pack("!II", len(segment), protocol)
    return (
        segment[:at] + struct.pack("!H", checksum(pseudo + segment) or 0xFFFF) + segment[at + 2 :]
    )


def udp(ends: Ends, port: int, data: bytes, *, source_port: int = 40000) -> bytes:
    """The UDP datagram, for `packet`."""
    segment = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    return _summed(ends, UDP, segment, 6)


def tcp(
    ends: Ends, port: int, *, source_port: int = 40000, flags: int = SYN, number: int = 1,
    acknowledged: int = 0, data: bytes = b"",
) -> bytes:  # fmt: skip
    segment = struct.pack(
        "!HHIIBBHHH", source_port, port, number, acknowledged, 0x50, flags, 64240, 0, 0
    )
    return _summed(ends, TCP, segment + data, 16)


def icmp(kind: int, code: int, body: bytes) -> bytes:
    message = struct.pack("!BBH", kind, code, 0) + body
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def icmpv6(ends: Ends, kind: int, code: int, body: bytes) -> bytes:
    return _summed(ends, ICMPV6, struct.pack("!BBH", kind, code, 0) + body, 2)


def arp(ends: Ends, operation: int, *, sender_mac: str, sender: str, target: str) -> bytes:
    """A whole frame. `ends` gives the Ethernet header alone."""
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    body += mac_bytes(sender_mac) + address_bytes(sender) + bytes(6) + address_bytes(target)
    return ethernet(ends, ARP, body)


@dataclass(frozen=True)
class Seen:
    """What a frame says, as far as tests want to know."""

    kind: int
    source: str = ""
    destination: str = ""
    protocol: int = 0
    payload: bytes = field(default=b"", repr=False)

    @property
    def ports(self) -> tuple[int, int]:
        return struct.unpack_from("!HH", self.payload)  # type: ignore[return-value]

    @property
    def tcp_flags(self) -> int:
        return self.payload[13]

    @property
    def icmp(self) -> tuple[int, int]:
        return self.payload[0], self.payload[1]


def parse(frame: bytes) -> Seen:
    (kind,) = struct.unpack_from("!H", frame, 12)
    body = frame[14:]
    if kind == IPV4 and len(body) >= 20:
        names = [socket.inet_ntop(socket.AF_INET, body[at : at + 4]) for at in (12, 16)]
        return Seen(kind, *names, body[9], body[(body[0] & 15) * 4 :])
    if kind == IPV6 and len(body) >= 40:
        names = [socket.inet_ntop(socket.AF_INET6, body[at : at + 16]) for at in (8, 24)]
        return Seen(kind, *names, body[6], body[40:])
    return Seen(kind, payload=body)
