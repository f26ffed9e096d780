"""ClientHellos as they are read: strictly, and the same however they are cut up."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.gateway.proxy.hello import Hello, HelloReader
from scaibunker.worker.gateway.proxy.refusal import Manner, Reason, Refused
from tests.unit.worker.gateway.proxy import hellos

LIMIT = 64 * 1024


def read(data: bytes, limit: int = LIMIT) -> Hello | None:
    reader = HelloReader(limit)
    reader.take(data)
    return reader.hello


def reason(data: bytes, limit: int = LIMIT) -> Reason:
    with pytest.raises(Refused) as caught:
        read(data, limit)
    assert caught.value.manner is Manner.ALERT
    return caught.value.reason


@pytest.mark.parametrize("name", ["good.test", "a.b.c.example.test", "x" * 63 + ".test"])
@pytest.mark.parametrize("oldest", [False, True])
def test_real_hellos_say_their_name(name: str, oldest: bool) -> None:
    assert read(hellos.real(name, oldest=oldest, alpn=("h2", "http/1.1"))) == Hello(name, False)


def test_a_real_hello_without_a_name_has_none() -> None:
    assert read(hellos.real(None)) == Hello(None, False)


@settings(deadline=None, max_examples=60)
@given(st.integers(16, 700), st.integers(1, 700), st.integers(0, 2**32))
def test_it_is_read_the_same_however_it_is_cut(fragment: int, step: int, seed: int) -> None:
    raw = hellos.real("good.test")
    data = hellos.records(raw[5:], fragment) + b"\x17\x03\x03\x00\x01x"
    reader, rest, at = HelloReader(LIMIT), b"", 0
    randomly = random.Random(seed)
    while reader.hello is None:
        size = randomly.randint(1, step)
        rest = reader.take(data[at : at + size])
        at += size
    assert reader.hello == Hello("good.test", False)
    assert bytes(reader.raw) + rest + data[at:] == data


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_what_is_cut_off_is_never_a_hello(data: st.DataObject) -> None:
    raw = hellos.real("good.test")
    end = data.draw(st.integers(0, len(raw) - 1))
    assert read(raw[:end]) is None


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_mutations_are_refused_or_read_and_never_anything_else(data: st.DataObject) -> None:
    raw = bytearray(hellos.real("good.test"))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Refused):
        found = read(bytes(raw))
        assert found is None or found.name is None or found.name.isascii()


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_random_bodies_are_refused_or_read(content: bytes) -> None:
    with contextlib.suppress(Refused):
        read(hellos.record(hellos.message(content)) if content else b"")


def test_several_names_are_refused() -> None:
    extension = hellos.server_names(b"good.test", b"bad.test")
    assert reason(hellos.record(hellos.message(hellos.body((0, extension))))) is Reason.TLS_NAMES


def test_the_extension_twice_is_refused() -> None:
    good, bad = hellos.server_names(b"good.test"), hellos.server_names(b"bad.test")
    hello = hellos.record(hellos.message(hellos.body((0, good), (0, bad))))
    assert reason(hello) is Reason.TLS_BROKEN


@pytest.mark.parametrize("kind", [0xFE0D, 0xFE0C, 0xFE09, 0xFFCE])
def test_a_hidden_hello_is_seen(kind: int) -> None:
    assert read(hellos.named(b"good.test", (kind, b"\x00" * 40))) == Hello("good.test", True)


MALFORMED = {
    "no name in the list": hellos.body((0, hellos.vector(2, b""))),
    "an empty name": hellos.body((0, hellos.server_names(b""))),
    "another kind of name": hellos.body((0, hellos.server_names(b"good.test", kind=1))),
    "a name beyond ASCII": hellos.body((0, hellos.server_names("gööd.test".encode()))),
    "bytes after the list": hellos.body((0, hellos.server_names(b"good.test") + b"x")),
    "bytes after the extensions": hellos.body((0, hellos.server_names(b"good.test"))) + b"x",
    "an old version": hellos.body((0, hellos.server_names(b"good.test")), version=b"\x02\x00"),
    "no body": b"",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_ones_are_refused(content: bytes) -> None:
    assert reason(hellos.record(hellos.message(content))) is Reason.TLS_BROKEN


GOOD = hellos.message(hellos.body((0, hellos.server_names(b"good.test"))))
WEIRD = {
    "an empty record": (hellos.record(b"") + hellos.record(GOOD), Reason.TLS_BROKEN),
    "an alert first": (hellos.record(b"\x01\x00", 21) + hellos.record(GOOD), Reason.TLS_NO_HELLO),
    "a change of ciphers first": (
        hellos.record(b"\x01", 20) + hellos.record(GOOD),
        Reason.TLS_NO_HELLO,
    ),
    "one in the middle": (
        hellos.record(GOOD[:9]) + hellos.record(b"\x01", 20) + hellos.record(GOOD[9:]),
        Reason.TLS_NO_HELLO,
    ),
    "early data first": (hellos.record(b"x", 23) + hellos.record(GOOD), Reason.TLS_NO_HELLO),
    "another message": (hellos.record(hellos.message(b"", 0) + GOOD), Reason.TLS_NO_HELLO),
    "two hellos in a record": (hellos.record(GOOD + GOOD), Reason.TLS_BROKEN),
    "another version": (hellos.record(GOOD, version=b"\x02\x00"), Reason.TLS_BROKEN),
    "a long record": (b"\x16\x03\x01\xff\xff", Reason.TLS_BROKEN),
    "a long message": (hellos.record(b"\x01\x02\x00\x00"), Reason.TLS_LONG),
}


@pytest.mark.parametrize(("data", "expected"), WEIRD.values(), ids=WEIRD.keys())
def test_weird_beginnings_are_refused(data: bytes, expected: Reason) -> None:
    assert reason(data) is expected


def test_a_hello_that_does_not_end_is_refused_at_the_limit() -> None:
    reader = HelloReader(4096)
    content = hellos.records(hellos.message(bytes(4000)), 1)
    with pytest.raises(Refused) as caught:
        [reader.take(content[at : at + 100]) for at in range(0, len(content), 100)]
    assert caught.value.reason is Reason.TLS_LONG
    assert len(reader.raw) <= 4096 + 100


def test_a_hello_in_more_records_than_anybody_makes_is_refused() -> None:
    """Each costs microseconds: 64 KiB of them in the smallest records kept the gateway busy for 40 ms."""
    content = hellos.records(hellos.message(bytes(4000)), 4)
    reader = HelloReader(LIMIT)
    with pytest.raises(Refused) as caught:
        reader.take(content)
    assert caught.value.reason is Reason.TLS_LONG
    small = hellos.records(hellos.message(hellos.body((0, hellos.server_names(b"good.test")))), 1)
    assert read(small) == Hello("good.test", False)


def test_much_after_a_hello_is_not_counted_against_it() -> None:
    reader = HelloReader(4096)
    assert reader.take(hellos.record(GOOD) + bytes(100_000)) == bytes(100_000)
