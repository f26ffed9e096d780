"""The names of the lab's world, and how its DNS servers answer for them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

MAX_LINKS = 16
PLAIN_UDP_BYTES = 512

Twist = Callable[[dns.message.Message, dns.message.Message], bytes | None]
"""Query and the honest answer: what is sent instead; None for silence."""


@dataclass(frozen=True)
class Records:
    ttl_s: int
    texts: tuple[str, ...]


class Names:
    """Changed by the test at any time; the next answer has it. The servers play resolvers: they follow aliases."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], Records] = {}
        self._failures: dict[str, dns.rcode.Rcode] = {}
        self._twists: dict[str, Twist] = {}
        self._lock = threading.Lock()

    def set(self, name: str, *addresses: str, ttl_s: int = 60) -> None:
        """`name` has these addresses, of both families, and no others."""
        v4 = tuple(a for a in addresses if ":" not in a)
        v6 = tuple(a for a in addresses if ":" in a)
        self.remove(name)
        if v4:
            self.record(name, "A", *v4, ttl_s=ttl_s)
        if v6:
            self.record(name, "AAAA", *v6, ttl_s=ttl_s)

    def alias(self, name: str, target: str, ttl_s: int = 60) -> None:
        self.remove(name)
        self.record(name, "CNAME", target.rstrip(".") + ".", ttl_s=ttl_s)

    def record(self, name: str, kind: str, *texts: str, ttl_s: int = 60) -> None:
        """Records of any type, in the text form of zone files."""
        with self._lock:
            self._records[_key(name), kind] = Records(ttl_s, texts)

    def fail(self, name: str, rcode: str) -> None:
        """Answer `name` with this code, such as SERVFAIL."""
        with self._lock:
            self._failures[_key(name)] = dns.rcode.from_text(rcode)

    def twist(self, name: str, twist: Twist) -> None:
        """Have the answers for `name` made by `twist`."""
        with self._lock:
            self._twists[_key(name)] = twist

    def remove(self, name: str) -> None:
        with self._lock:
            for key in [key for key in self._records if key[0] == _key(name)]:
                del self._records[key]
            self._failures.pop(_key(name), None)
            self._twists.pop(_key(name), None)

    def answer(self, wire: bytes, *, udp: bool) -> bytes | None:
        """What to send for this query, if anything."""
        query = dns.message.from_wire(wire)
        response = self._honest(query)
        twist = self._twists.get(_key(query.question[0].name.to_text())) if query.question else None
        if twist is not None:
            return twist(query, response)
        limit = max(PLAIN_UDP_BYTES, query.payload) if udp else 65535
        return _fitting(response, limit)

    def _honest(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return response
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        owner = question.name
        with self._lock:
            for _ in range(MAX_LINKS):
                key = _key(owner.to_text())
                if key in self._failures:
                    response.set_rcode(self._failures[key])
                    return response
                found = self._records.get((key, kind))
                if found is not None:
                    response.answer.append(_rrset(owner, kind, found))
                    return response
                link = self._records.get((key, "CNAME"))
                if link is None:
                    break
                response.answer.append(_rrset(owner, "CNAME", link))
                owner = dns.name.from_text(link.texts[0])
            if not any(name == key for name, _ in self._records):
                response.set_rcode(dns.rcode.NXDOMAIN)
        soa = Records(30, ("ns.test. hostmaster.test. 1 3600 600 86400 30",))
        response.authority.append(_rrset(dns.name.from_text("test."), "SOA", soa))
        return response


def _key(name: str) -> str:
    return name.lower().rstrip(".")


def _rrset(owner: dns.name.Name, kind: str, records: Records) -> dns.rrset.RRset:
    return dns.rrset.from_text_list(
        owner, records.ttl_s, dns.rdataclass.IN, dns.rdatatype.from_text(kind), records.texts
    )


def _fitting(response: dns.message.Message, limit: int) -> bytes:
    wire = response.to_wire(max_size=65535)
    if len(wire) <= limit:
        return wire
    response.answer.clear()
    response.authority.clear()
    response.flags |= dns.flags.TC
    return response.to_wire(max_size=65535)
