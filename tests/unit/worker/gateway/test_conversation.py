"""How much a machine may ask, and how what is no question is met."""

import asyncio

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.gateway.resolver.conversation import Heard
from scaibunker.worker.gateway.resolver.limits import Limits, TokenBucket
from scaibunker.worker.network.policy import Passage
from tests.unit.worker.gateway.scripted import Clock, Machine

QUESTION = dns.message.make_query("evil.test", "A").to_wire()


def test_more_than_is_read_is_refused_and_then_not_even_that() -> None:
    guest = Machine("pypi.test", limits=Limits(per_second=10, burst=20, refusals_per_second=5))
    heard = [guest.conversation.hear(QUESTION, guest.sent.append, tcp=False) for _ in range(40)]
    rcodes = [dns.message.from_wire(answer).rcode() for answer in guest.sent]
    assert rcodes == [dns.rcode.NXDOMAIN] * 20 + [dns.rcode.REFUSED] * 5
    assert heard == [Heard.DONE] * 25 + [Heard.TOO_MUCH] * 15
    guest.clock.at += 1
    guest.sent.clear()
    for _ in range(10):
        assert guest.conversation.hear(QUESTION, guest.sent.append, tcp=True) is Heard.DONE
    assert len(guest.sent) == 10


async def test_what_becomes_of_questions_is_counted() -> None:
    guest = Machine("*.files.test", limits=Limits(per_second=1, burst=7, refusals_per_second=1))
    guest.upstreams.set("a.files.test", "A", "203.0.113.9")
    await guest.ask("a.files.test")
    await guest.ask("a.files.test")
    await guest.ask("b.files.test")
    await guest.ask("evil.test")
    await guest.ask("a.files.test", "AXFR")
    guest.upstreams.fails = True
    await guest.ask("c.files.test")
    for packet in (b"x" * 40, QUESTION, QUESTION):
        guest.conversation.hear(packet, guest.sent.append, tcp=False)
    assert guest.attachment.counts.all()["questions"] == {
        "noerror": 2,
        "nxdomain": 1,
        "denied": 1,
        "unsupported": 1,
        "servfail": 1,
        "malformed": 1,
        "limited": 2,
    }


def test_token_buckets_hold_no_more_than_their_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, 3.0, clock)
    clock.at += 1000
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    clock.at += 0.5
    assert bucket.take()
    assert not bucket.take()


async def test_long_answers_count_as_several_questions() -> None:
    limits = Limits(per_second=1, burst=100, bytes_each=256, cached_bytes=0)
    guest = Machine(passage=Passage.OPEN, limits=limits)
    guest.upstreams.set("large.test", "TXT", *(f'"{"x" * 250}{i}"' for i in range(30)))
    assert len((await guest.ask("large.test", "TXT", tcp=True)).answer[0]) == 30
    answered = 1
    while (await guest.ask("large.test", "TXT", tcp=True)).rcode() == dns.rcode.NOERROR:
        answered += 1
    assert answered == 4  # of about 31 each: the last is owed
    guest.clock.at += 30
    assert (await guest.ask("large.test", "TXT", tcp=True)).rcode() == dns.rcode.NOERROR


async def test_no_more_wait_than_may() -> None:
    guest = Machine("*.files.test", limits=Limits(waiting=5))
    guest.upstreams.held = asyncio.Event()
    for number in range(8):
        query = dns.message.make_query(f"n{number}.files.test", "A")
        guest.conversation.hear(query.to_wire(), guest.sent.append, tcp=False)
    assert [dns.message.from_wire(a).rcode() for a in guest.sent] == [dns.rcode.SERVFAIL] * 3
    guest.resolution.forget()


async def test_no_more_are_asked_at_once_than_may() -> None:
    guest = Machine("*.files.test", limits=Limits(under_way=3))
    guest.upstreams.held = asyncio.Event()
    for number in range(8):
        query = dns.message.make_query(f"n{number}.files.test", "A")
        guest.conversation.hear(query.to_wire(), guest.sent.append, tcp=False)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(guest.upstreams.asked) == 3
    guest.upstreams.held.set()
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(guest.sent) == 8


def answer_to(query: dns.message.Message) -> dns.message.Message:
    guest = Machine("pypi.test")
    guest.conversation.hear(query.to_wire(), guest.sent.append, tcp=False)
    (message,) = guest.sent
    return dns.message.from_wire(message)


def test_what_is_no_query_is_not_done() -> None:
    query = dns.message.make_query("pypi.test", "A")
    query.set_opcode(dns.opcode.NOTIFY)
    assert answer_to(query).rcode() == dns.rcode.NOTIMP


def test_other_classes_are_refused() -> None:
    assert answer_to(dns.message.make_query("pypi.test", "A", "CH")).rcode() == dns.rcode.REFUSED


def test_later_versions_of_edns_are_said_to_be_unknown() -> None:
    query = dns.message.make_query("pypi.test", "A", use_edns=1)
    assert answer_to(query).rcode() == dns.rcode.BADVERS


def test_transfers_of_zones_are_not_done() -> None:
    assert answer_to(dns.message.make_query("pypi.test", "AXFR")).rcode() == dns.rcode.NOTIMP


def test_malformed_questions_are_told_so() -> None:
    guest = Machine("pypi.test")
    guest.conversation.hear(QUESTION[:-1], guest.sent.append, tcp=False)
    assert dns.message.from_wire(guest.sent[0]).rcode() == dns.rcode.FORMERR


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_met_with_an_answer_or_none(packet: bytes) -> None:
    guest = Machine("pypi.test")
    guest.conversation.hear(packet, guest.sent.append, tcp=False)
    assert len(guest.sent) <= 1
    for answer in guest.sent:
        assert answer[:2] == packet[:2]
        assert answer[2] & 0x80
        assert len(answer) <= 512
