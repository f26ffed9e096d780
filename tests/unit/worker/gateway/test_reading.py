"""What is taken from upstreams' messages."""

import ipaddress

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaibunker.worker.gateway.resolver.reading import MAX_ADDRESSES, pass_on, read_addresses
from scaibunker.worker.gateway.resolver.wire import Malformed, read_query, wire_of

NAME = "www.registry.test."
Rows = list[tuple[str, int, str, str]]


def question(kind: int = 1) -> bytes:
    return wire_of(NAME) + kind.to_bytes(2) + b"\0\1"


def message(rows: Rows, kind: str = "A", rcode: str = "NOERROR", soa: int | None = None) -> bytes:
    query = dns.message.make_query(NAME, kind)
    answer = dns.message.make_response(query)
    answer.set_rcode(dns.rcode.from_text(rcode))
    answer.answer = [dns.rrset.from_text(o, ttl, "IN", k, d) for o, ttl, k, d in rows]
    if soa is not None:
        data = f"ns.test. root.test. 1 2 3 4 {soa}"
        answer.authority = [dns.rrset.from_text("registry.test.", 900, "IN", "SOA", data)]
    return answer.to_wire()


def test_follows_aliases_and_takes_the_least_ttl() -> None:
    rows = [
        ("b.cdn.test.", 50, "A", "192.0.2.9"),
        ("a.cdn.test.", 20, "CNAME", "B.cdn.test."),
        (NAME, 300, "CNAME", "a.CDN.test."),
    ]
    reading = read_addresses(message(rows), question())
    assert [str(a) for a in reading.addresses] == ["192.0.2.9"]
    assert (reading.ttl, reading.rcode, reading.open_end) == (20, 0, False)


def test_addresses_of_other_names_are_not_taken() -> None:
    rows = [
        ("elsewhere.test.", 50, "A", "192.0.2.66"),
        (NAME, 50, "A", "192.0.2.1"),
    ]
    assert [str(a) for a in read_addresses(message(rows), question()).addresses] == ["192.0.2.1"]


def test_a_chain_that_breaks_off_is_asked_on() -> None:
    reading = read_addresses(message([(NAME, 60, "CNAME", "far.test.")]), question())
    assert reading.open_end
    assert reading.name == wire_of("far.test")


def test_a_chain_that_ends_in_nothing_is_not() -> None:
    rows = [(NAME, 60, "CNAME", "far.test.")]
    reading = read_addresses(message(rows, soa=30), question())
    assert (reading.open_end, reading.addresses, reading.ttl) == (False, (), 30)


def test_circles_are_malformed() -> None:
    rows = [(NAME, 60, "CNAME", "a.test."), ("a.test.", 60, "CNAME", NAME)]
    with pytest.raises(Malformed):
        read_addresses(message(rows), question())


def test_takes_no_more_addresses_than_it_needs() -> None:
    rows = [(NAME, 60, "A", str(ipaddress.IPv4Address(0xC0000200 + i))) for i in range(100)]
    assert len(read_addresses(message(rows), question()).addresses) == MAX_ADDRESSES


def test_more_records_than_any_name_has_are_malformed() -> None:
    rows = [(NAME, 60, "A", str(ipaddress.IPv4Address(0x0A000000 + i))) for i in range(600)]
    with pytest.raises(Malformed):
        read_addresses(message(rows), question())


def test_nothing_there_is_believed_as_long_as_the_zone_says() -> None:
    reading = read_addresses(message([], rcode="NXDOMAIN", soa=17), question())
    assert (reading.rcode, reading.ttl, reading.addresses) == (3, 17, ())


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.tuples(*[st.integers(0, 5)] * 3))
def test_any_bytes_are_read_or_malformed(rest: bytes, counts: tuple[int, int, int]) -> None:
    head = b"\0\1\x81\x80\0\1" + b"".join(n.to_bytes(2) for n in counts)
    hostile = head + question() + rest
    for read in (
        lambda: read_addresses(hostile, question()),
        lambda: pass_on(hostile, question(), (5, 300), 0.0),
    ):
        try:
            read()
        except Malformed:
            continue


def test_passes_on_all_but_opt_with_one_ttl() -> None:
    query = dns.message.make_query(NAME, "MX", use_edns=0, payload=1232)
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AD
    answer.answer = [dns.rrset.from_text(NAME, 900, "IN", "MX", "5 mail.registry.test.")]
    answer.additional = [dns.rrset.from_text("mail.registry.test.", 9, "IN", "A", "192.0.2.1")]
    kind = 15
    prepared = pass_on(answer.to_wire(), question(kind), (5, 300), 100.0)
    assert prepared.until == 400
    asked = read_query(dns.message.make_query("WWW.registry.test", "MX").to_wire())
    told = dns.message.from_wire(prepared.render(asked, 150.0, whole=True))
    assert told.edns == -1
    assert {r.ttl for r in told.answer + told.additional} == {250}
    assert told.answer[0].to_text().endswith("MX 5 mail.registry.test.")
    assert told.additional[0].to_text().endswith("A 192.0.2.1")
    assert told.flags & dns.flags.AD


def test_addresses_are_learned_from_what_is_passed_on() -> None:
    rows = [(NAME, 60, "CNAME", "a.test."), ("a.test.", 9, "A", "192.0.2.1")]
    prepared = pass_on(message(rows), question(), (5, 300), 0.0)
    assert [str(a) for a in prepared.addresses] == ["192.0.2.1"]
    assert prepared.until == 9
