"""Messages of the kernel, written by hand."""

import struct


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, *attributes: bytes, flags: int = 0, sender: int = 0) -> bytes:
    body = bytes(4) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, sender) + body


def ends(source: bytes, destination: bytes, protocol: int, ports: tuple[int, int] | None) -> bytes:
    """CTA_TUPLE_ORIG"""
    first = 1 if len(source) == 4 else 3
    ip = attribute(first, source) + attribute(first + 1, destination)
    upper = attribute(1, bytes([protocol]))
    if ports is not None:
        upper += attribute(2, struct.pack(">H", ports[0])) + attribute(
            3, struct.pack(">H", ports[1])
        )
    return attribute(1, attribute(1, ip) + attribute(2, upper))


def pair(kind: int, first: int, second: int) -> bytes:
    """Two numbers: counters, or times."""
    one, other = struct.pack(">Q", first), struct.pack(">Q", second)
    return attribute(kind, attribute(1, one) + attribute(2, other))


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def udp_packet(source: bytes, destination: bytes, ports: tuple[int, int], size: int = 5) -> bytes:
    """IPv4"""
    header = struct.pack(">BBHHHBBH", 0x45, 0, 28 + size, 1, 0, 64, 17, 0) + source + destination
    return header + struct.pack(">HHHH", *ports, 8 + size, 0) + bytes(size)


def refused(packet: bytes, sequence: int | None, prefix: bytes = b"closed\0") -> bytes:
    """A message of NFLOG."""
    numbered = [] if sequence is None else [number(12, sequence)]
    return message(0x400, *numbered, attribute(9, packet), attribute(10, prefix))
