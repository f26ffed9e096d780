"""Messages as bytes, judged by dnspython, and by bytes that are no messages."""

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaibunker.worker.gateway.resolver import wire
from scaibunker.worker.gateway.resolver.wire import Malformed

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=6)
QUICK = settings(deadline=None, max_examples=300)


def asked(name: str = "Pypi.Registry.test", kind: str = "A", **options: object) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


@QUICK
@given(
    LABELS,
    st.sampled_from(["A", "AAAA", "TXT", "HTTPS"]),
    st.one_of(st.none(), st.integers(0, 4096)),
    st.booleans(),
    st.integers(0, 65535),
)
def test_reads_what_was_asked(
    labels: list[bytes], kind: str, payload: int | None, dnssec: bool, number: int
) -> None:
    name = dns.name.Name([*labels, b""])
    query = dns.message.make_query(name, kind, id=number)
    if payload is not None:
        query.use_edns(0, dns.flags.DO if dnssec else 0, payload)
    read = wire.read_query(query.to_wire())
    assert (read.number, read.kind, read.klass) == (number, dns.rdatatype.from_text(kind), 1)
    assert read.question[:-4] == name.to_wire()
    assert read.key[:-4] == name.canonicalize().to_wire()
    assert read.edns is (payload is not None)
    assert read.dnssec is (payload is not None and dnssec)
    assert read.limit == (512 if payload is None else min(max(payload, 512), 1232))


@QUICK
@given(st.binary(max_size=300))
@example(b"\0" * 12)
@example(b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1")
@example(b"\0\1\1\0\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29")
def test_any_bytes_are_a_question_or_malformed(packet: bytes) -> None:
    try:
        query = wire.read_query(packet)
    except Malformed:
        return
    query.name()
    assert packet[12:].startswith(query.question)


@QUICK
@given(st.integers(0, 60), st.binary(min_size=1, max_size=3), st.booleans())
def test_a_broken_question_is_a_question_or_malformed(at: int, put: bytes, cut: bool) -> None:
    packet = asked(use_edns=0)
    packet = packet[:at] if cut else packet[:at] + put + packet[at + len(put) :]
    try:
        wire.read_query(packet)
    except Malformed:
        assert wire.number_of(packet) is None or len(packet) >= 12


def test_an_answer_is_not_answered() -> None:
    message = dns.message.from_wire(asked())
    packet = dns.message.make_response(message).to_wire()
    with pytest.raises(Malformed):
        wire.read_query(packet)
    assert wire.number_of(packet) is None


def test_names_are_at_most_255_bytes() -> None:
    label = "a" * 63
    longest = ".".join([label, label, label, "b" * 61])
    assert wire.read_query(asked(longest)).name() == longest
    raw = asked("x")
    too_long = b"".join(b"\x3f" + b"a" * 63 for _ in range(4)) + b"\0"
    with pytest.raises(Malformed):
        wire.read_query(raw[:12] + too_long + raw[-4:])


def test_a_dot_inside_a_label_is_not_a_dot_between_labels() -> None:
    packet = asked("x")[:12] + b"\x0bevil.pypi\x2eo\x04test\0" + b"\0\1\0\1"
    name = wire.read_query(packet).name()
    assert name == "evil\\046pypi\\046o.test"
    assert not wire.HOST_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64, "a b", "ä.test", "a." * 128, "*.test"])
def test_what_is_no_host_name_has_no_bytes(name: str) -> None:
    with pytest.raises(Malformed):
        wire.wire_of(name)


def test_host_names_are_as_dnspython_has_them() -> None:
    assert wire.wire_of("Pypi.Registry.TEST.") == dns.name.from_text("pypi.registry.test").to_wire()


@QUICK
@given(st.binary(max_size=400), st.tuples(*[st.integers(0, 6)] * 3))
def test_any_bytes_are_records_or_malformed(message: bytes, counts: tuple[int, int, int]) -> None:
    message = b"\0" * 12 + message
    try:
        found = list(wire.records(message, 12, counts))
    except Malformed:
        return
    assert len(found) == sum(counts)
    for record in found:
        assert record.data_at <= record.end <= len(message)
        try:
            assert len(wire.name_at(message, record.begin)) <= 255
        except Malformed:
            continue


def test_records_and_names_are_as_dnspython_has_them() -> None:
    query = dns.message.make_query("www.registry.test", "A")
    answer = dns.message.make_response(query)
    answer.answer = [
        dns.rrset.from_text("www.registry.test.", 60, "IN", "CNAME", "cdn.registry.test."),
        dns.rrset.from_text("cdn.registry.test.", 30, "IN", "A", "192.0.2.1", "192.0.2.2"),
    ]
    message = answer.to_wire()
    question = len(query.to_wire()) - 12
    found = list(wire.records(message, 12 + question, (3, 0, 0)))
    assert [(r.kind, r.ttl) for r in found] == [(5, 60), (1, 30), (1, 30)]
    names = [wire.text_of(wire.name_at(message, r.begin)) for r in found]
    assert names == ["www.registry.test", "cdn.registry.test", "cdn.registry.test"]
    assert wire.text_of(wire.name_at(message, found[0].data_at)) == "cdn.registry.test"
    data = {message[r.data_at : r.end] for r in found[1:]}
    assert data == {bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))}


def test_a_name_that_points_at_itself_ends() -> None:
    with pytest.raises(Malformed):
        wire.name_at(b"\0" * 12 + b"\xc0\x0c", 12)
