"""What conntrack says, read from what a kernel (6.18) has said, and from what it might say."""

import struct

import pytest

from scaibunker.worker.gateway.flows.netlink import attributes, messages
from scaibunker.worker.gateway.flows.tracking import DESTROY, NEW, NS, Begun, Ended, read
from tests.unit.worker.gateway.netlink_text import attribute, ends, message, number, pair

BEGUN_TCP = bytes.fromhex(
    "d0000000000100060000000000000000020000003400018014000180080001007f000001080002007f0000011c000280"
    "050001000600000006000200abbe0000060003001f4000003400028014000180080001007f000001080002007f000001"
    "1c0002800500010006000000060002001f40000006000300abbe000008000c006dd19b25080003000000000808000700"
    "0000001e300004802c0001800500010001000000050002000a0000000500030000000000060004000300000006000500"
    "000000000c001b0018ec2ed6216610b7"
)
ENDED_TCP = bytes.fromhex(
    "fc0000000201000000000000d10baa85020000003400018014000180080001007f000001080002007f0000011c000280"
    "050001000600000006000200abbe0000060003001f4000003400028014000180080001007f000001080002007f000001"
    "1c0002800500010006000000060002001f40000006000300abbe000008000c006dd19b25080003000000020e1c000980"
    "0c00010000000000000000050c000200000000000000010d1c000a800c00010000000000000000050c00020000000000"
    "000001701c0014800c00010018ec2ed6216626fa0c00020018ec2ed74b7e077d100004800c0001800500010007000000"
    "0c001b0018ec2ed793419f08"
)
"""Closed, expired after 5 s in TIME_WAIT, and forgotten on request 1.2 s later."""
LOCAL = b"\x7f\x00\x00\x01"
GUEST, SERVER = b"\xc6\x12\x00\x02", b"\x05\x05\x05\x05"
GUEST6, SERVER6 = bytes(15) + b"\x02", bytes(15) + b"\x05"
START = 1_700_000_000 * NS


def event(data: bytes) -> Begun | Ended | None:
    [each] = messages(data)
    return read(data, each)


def ended(
    protocol: int, ports: tuple[int, int] | None, lasted_s: float, *more: bytes, sender: int = 0
) -> Ended:
    stop = START + int(lasted_s * NS)
    found = event(
        message(
            DESTROY,
            ends(GUEST, SERVER, protocol, ports),
            number(12, 7),
            pair(20, START, stop),
            *more,
            sender=sender,
        )
    )
    assert isinstance(found, Ended)
    return found


def test_a_real_flow_is_read_from_begin_to_end() -> None:
    begun, end = event(BEGUN_TCP), event(ENDED_TCP)
    assert isinstance(begun, Begun)
    assert isinstance(end, Ended)
    assert begun.key == end.key
    assert begun.destination == LOCAL
    assert end.ends == (LOCAL, LOCAL, 6, 0xABBE, 8000)
    assert (end.packets_sent, end.bytes_sent) == (5, 0x10D)
    assert (end.packets_received, end.bytes_received) == (5, 0x170)
    assert 0 < end.end_ns - end.start_ns < 0.1 * NS


def state(tcp: int) -> bytes:
    return attribute(4, attribute(1, attribute(1, bytes([tcp]))))


@pytest.mark.parametrize(
    ("protocol", "more", "kept_s"),
    [
        (6, state(7), 5),
        (6, state(8), 5),
        (6, state(3), 432_000),
        (6, state(1), 30),
        (6, state(200), 0),
        (17, number(3, 0), 30),
        (17, number(3, 4), 120),
        (1, b"", 30),
        (58, b"", 30),
        (47, b"", 600),
    ],
)
def test_a_flow_ends_with_its_last_packet(protocol: int, more: bytes, kept_s: int) -> None:
    found = ended(protocol, (1, 2), kept_s + 2.5, more)
    assert found.end_ns - found.start_ns == 2.5 * NS
    on_request = ended(protocol, (1, 2), kept_s + 2.5, more, sender=9)
    assert on_request.end_ns - on_request.start_ns == (kept_s + 2.5) * NS


def test_an_unacknowledged_packet_is_waited_for_less_long() -> None:
    found = ended(6, (1, 2), 302, state(3))
    assert found.end_ns - found.start_ns == 2 * NS


def test_no_flow_ends_before_it_begins() -> None:
    assert ended(17, (1, 2), 3).end_ns == START
    without = event(message(DESTROY, ends(GUEST, SERVER, 17, (1, 2)), number(12, 7)))
    assert isinstance(without, Ended)
    assert (without.start_ns, without.end_ns) == (0, 0)


def test_protocols_without_ports_have_none() -> None:
    found = ended(1, None, 31)
    assert found.ends == (GUEST, SERVER, 1, None, None)


def test_ipv6() -> None:
    data = message(NEW, ends(GUEST6, SERVER6, 17, (1, 53)), number(12, 7), flags=0x600)
    found = event(data)
    assert isinstance(found, Begun)
    assert found.destination == SERVER6


def test_what_is_no_begin_and_no_end_is_passed_over() -> None:
    update = message(NEW, ends(GUEST, SERVER, 17, (1, 53)), number(12, 7))
    assert event(update) is None
    assert event(message(3)) is None


@pytest.mark.parametrize("size", range(20, len(ENDED_TCP), 9))
def test_what_is_cut_short_is_refused_or_read_in_part(size: int) -> None:
    data = struct.pack("=I", size) + ENDED_TCP[4:size]
    try:
        found = event(data)
    except (LookupError, struct.error):
        return
    assert found is None or isinstance(found, Ended)


def test_lengths_that_lead_nowhere_end_the_reading() -> None:
    assert list(messages(struct.pack("=IHHII", 0, 0, 0, 0, 0) + bytes(64))) == []
    assert attributes(struct.pack("=HH", 0, 1) * 4, (0, 16)) == {}
    assert attributes(struct.pack("=HH", 400, 1) + bytes(12), (0, 16)) == {}


def test_several_messages_of_one_datagram() -> None:
    data = BEGUN_TCP + ENDED_TCP
    assert [read(data, each) for each in messages(data)] == [event(BEGUN_TCP), event(ENDED_TCP)]
