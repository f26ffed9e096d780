"""Answers as guests get them, read by dnspython."""

import ipaddress

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from scaibunker.worker.gateway.resolver import prepared as answers
from scaibunker.worker.gateway.resolver.wire import read_query

V4 = [ipaddress.IPv4Address(f"192.0.2.{i}") for i in range(1, 33)]
V6 = [ipaddress.IPv6Address(f"2001:db8::{i:x}") for i in range(1, 33)]


def asked(name: str = "pYpI.test", kind: str = "A", **options: object) -> dns.message.Message:
    return dns.message.make_query(name, kind, **options)


def told(
    ready: answers.Prepared, query: dns.message.Message, now: float = 0.0, limit: int | None = None
) -> dns.message.Message:
    read = read_query(query.to_wire())
    message = dns.message.from_wire(ready.render(read, now, whole=ready.fits(read, limit)))
    assert query.is_response(message)
    return message


@pytest.mark.parametrize(("kind", "addresses"), [("A", V4[:2]), ("AAAA", V6[:3])])
def test_addresses(kind: str, addresses: list[answers.Address]) -> None:
    message = told(answers.told(addresses, 60.0), asked(kind=kind), now=18.2)
    (rrset,) = message.answer
    assert rrset.rdtype == dns.rdatatype.from_text(kind)
    assert {r.address for r in rrset} == {str(a) for a in addresses}
    assert rrset.ttl == 42


def test_the_case_of_letters_is_the_guests() -> None:
    ready = answers.told(V4[:1], 60.0)
    for name in ("pYpI.tESt.", "PYPI.test."):
        message = told(ready, asked(name))
        assert message.question[0].name.to_text() == name
        assert message.answer[0].name.to_text() == name


def test_what_does_not_fit_is_said_to_be_there() -> None:
    ready = answers.told(V6, 60.0)
    query = asked(kind="AAAA", use_edns=0, payload=512)
    message = told(ready, query, limit=512)
    assert message.flags & dns.flags.TC
    assert message.answer == []
    assert message.edns == 0
    whole = told(ready, asked(kind="AAAA"), limit=None)
    assert len(whole.answer[0]) == 32
    assert not whole.flags & dns.flags.TC


def test_fits_to_the_byte() -> None:
    ready = answers.told(V6[:4], 60.0)
    read = read_query(asked(kind="AAAA", use_edns=0).to_wire())
    size = len(ready.render(read, 0.0, whole=True))
    assert ready.fits(read, size)
    assert not ready.fits(read, size - 1)


def test_nothing_may_be_believed_for_a_while() -> None:
    for rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        message = told(answers.nothing(rcode, 30.0, 30), asked(), now=10.0)
        assert message.rcode() == rcode
        (soa,) = message.authority
        assert (soa.ttl, soa[0].minimum) == (20, 30)
        assert soa[0].mname.to_text() == "gateway.invalid."


def test_bare_answers() -> None:
    read = read_query(asked(use_edns=0, want_dnssec=True).to_wire())
    message = dns.message.from_wire(answers.bare(read, dns.rcode.REFUSED))
    assert message.rcode() == dns.rcode.REFUSED
    assert message.ednsflags & dns.flags.DO
    assert dns.message.from_wire(answers.bad_version(read)).rcode() == dns.rcode.BADVERS
    assert dns.message.from_wire(answers.malformed(77)).rcode() == dns.rcode.FORMERR
    assert dns.message.from_wire(answers.malformed(77)).id == 77
