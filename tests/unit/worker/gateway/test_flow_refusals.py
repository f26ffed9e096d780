"""Refused packets, put together to flows."""

import struct

import pytest

from scaibunker.worker.gateway.flows.netlink import messages
from scaibunker.worker.gateway.flows.refusals import Refusals
from tests.unit.worker.gateway.netlink_text import refused, udp_packet

GUEST, SERVER = b"\xc6\x12\x00\x02", b"\x05\x05\x05\x05"


def take(refusals: Refusals, data: bytes, now: float = 1.0) -> None:
    for each in messages(data):
        refusals.read(data, each, now)


def test_packets_of_one_flow_are_one_refusal() -> None:
    refusals = Refusals()
    for n in range(5):
        take(refusals, refused(udp_packet(GUEST, SERVER, (40, 53)), n), now=float(n))
    take(refusals, refused(udp_packet(GUEST, SERVER, (41, 53)), 5), now=5)
    first, second = refusals.take()
    assert first.ends == (GUEST, SERVER, 17, 40, 53)
    assert (first.packets, first.bytes, first.first, first.last) == (5, 5 * 33, 0, 4)
    assert (second.packets, second.reason) == (1, "closed")
    assert list(refusals.take()) == []
    assert refusals.lost() == 0


def test_numbers_that_are_missing_are_counted() -> None:
    refusals = Refusals()
    for n in (7, 8, 11, 2**32 - 1, 1):
        take(refusals, refused(udp_packet(GUEST, SERVER, (40, 53)), n))
    assert refusals.lost() == 2 + (2**32 - 1 - 12) + 1
    assert refusals.lost() == 0


def test_flows_for_which_there_is_no_room_are_counted() -> None:
    refusals = Refusals(max_flows=3)
    for n in range(10):
        take(refusals, refused(udp_packet(GUEST, SERVER, (40 + n, 53)), n))
    take(refusals, refused(udp_packet(GUEST, SERVER, (40, 53)), 10))
    assert refusals.lost() == 7
    assert [each.packets for each in refusals.take()] == [2, 1, 1]


def test_later_fragments_have_no_ports() -> None:
    packet = bytearray(udp_packet(GUEST, SERVER, (40, 53)))
    packet[6:8] = struct.pack(">H", 0x2005)
    refusals = Refusals()
    take(refusals, refused(bytes(packet), 0))
    [found] = refusals.take()
    assert found.ends == (GUEST, SERVER, 17, None, None)


def ipv6(next_header: int, rest: bytes) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(rest), next_header, 64) + bytes(32) + rest


@pytest.mark.parametrize(
    ("next_header", "rest", "ends"),
    [
        (17, struct.pack(">HHHH", 5, 6, 8, 0), (17, 5, 6)),
        (0, bytes([17, 0]) + bytes(6) + struct.pack(">HHHH", 5, 6, 8, 0), (17, 5, 6)),
        (44, bytes([6, 0, 0, 0]) + bytes(4) + struct.pack(">HH", 5, 6), (6, 5, 6)),
        (44, bytes([6, 0, 0, 9]) + bytes(4) + struct.pack(">HH", 5, 6), (6, None, None)),
        (43, bytes([17, 200]) + bytes(6), (17, None, None)),
        (60, b"", (60, None, None)),
        (58, b"\x80\x00", (58, None, None)),
        (59, b"", (59, None, None)),
    ],
)
def test_extension_headers(
    next_header: int, rest: bytes, ends: tuple[int, int | None, int | None]
) -> None:
    refusals = Refusals()
    take(refusals, refused(ipv6(next_header, rest), 0))
    [found] = refusals.take()
    assert found.ends[2:] == ends
    assert found.bytes == 40 + len(rest)


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x10" * 60, b"\x60" * 39])
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    refusals = Refusals()
    with pytest.raises((LookupError, struct.error)):
        take(refusals, refused(packet, 0))


def test_a_reason_is_short_and_plain() -> None:
    refusals = Refusals()
    prefix = b"x" * 100 + b"\xff\0junk"
    take(refusals, refused(udp_packet(GUEST, SERVER, (1, 2)), None, prefix))
    [found] = refusals.take()
    assert found.reason == "x" * 64
