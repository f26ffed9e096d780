"""Answers that are ready to be sent: all but what differs from one asker to the next."""

import ipaddress
import struct
from collections.abc import Sequence

from scaibunker.worker.gateway.resolver.wire import (
    AAAA,
    AD,
    BADVERS,
    CD,
    DO,
    HEADER,
    HEADER_BYTES,
    IN,
    MAX_UDP_BYTES,
    OPCODE,
    OPT,
    QR,
    RA,
    RD,
    SOA,
    TC,
    A,
    Query,
)  # fmt: skip

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

OPT_BYTES = 11
OWNER = b"\xc0\x0c"
"""The name in the question, pointed to."""
TTL = struct.Struct("!I")
AUTHORITY = b"\0" + struct.pack("!HH", SOA, IN)
AUTHORITY_NAMES = b"\x07gateway\x07invalid\0\x0ahostmaster\x07gateway\x07invalid\0"


class Prepared:
    """`body`: the records, as they follow the question, with pointers into a message in which a question of that
    length comes first. `ttls`: where in it TTLs stand; all of them are told the same. `until`: when the answer is over,
    in seconds of a clock that never goes back. `addresses`: those in it. `learned`: whether it is known that the guest
    was told them. `asked_bytes`: how much had to be read for it. `denied`: the policy says so, and nobody
    was asked."""

    __slots__ = (
        "_body", "_told", "ad", "addresses", "asked_bytes", "counts", "denied", "learned", "rcode", "ttls", "until",
    )  # fmt: skip

    def __init__(
        self,
        rcode: int,
        until: float,
        body: bytes = b"",
        counts: tuple[int, int, int] = (0, 0, 0),
        ttls: Sequence[int] = (),
        *,
        addresses: Sequence[Address] = (),
        ad: bool = False,
    ) -> None:
        self.rcode = rcode
        self.until = until
        self.counts = counts
        self.ttls = ttls
        self.addresses = tuple(addresses)
        self.learned = False
        self.asked_bytes = 0
        self.denied = False
        self.ad = ad
        self._body = body
        self._told = -1

    @property
    def size(self) -> int:
        """Of the records, in bytes."""
        return len(self._body)

    def fits(self, query: Query, limit: int | None) -> bool:
        """In so many bytes; None where there is no limit (TCP)."""
        size = HEADER_BYTES + len(query.question) + len(self._body)
        return limit is None or size + OPT_BYTES * query.edns <= limit

    def render(self, query: Query, now: float, *, whole: bool) -> bytes:
        """For who asks; not `whole`: without records, and with the sign to ask again by TCP."""
        ttl = max(0, round(self.until - now))
        if ttl != self._told:
            self._tell(ttl)
        body, (answers, authorities, additional) = self._body, self.counts
        flags = QR | RA | query.flags & (OPCODE | RD | CD) | self.rcode
        if self.ad:
            flags |= AD
        if not whole:
            flags |= TC
            body, answers, authorities, additional = b"", 0, 0, 0
        additional += query.edns
        header = HEADER.pack(query.number, flags, 1, answers, authorities, additional)
        return b"".join((header, query.question, body, _opt(query) if query.edns else b""))

    def _tell(self, ttl: int) -> None:
        if self.ttls:
            body = bytearray(self._body)
            for at in self.ttls:
                TTL.pack_into(body, at, ttl)
            self._body = bytes(body)
        self._told = ttl


def told(addresses: Sequence[Address], until: float) -> Prepared:
    """Those, as what the asked name itself stands for."""
    body, ttls = bytearray(), []
    for address in addresses:
        kind = A if address.version == 4 else AAAA
        data = address.packed
        ttls.append(len(body) + len(OWNER) + 4)
        body += OWNER + struct.pack("!HHIH", kind, IN, 0, len(data)) + data
    counts = (len(addresses), 0, 0)
    return Prepared(0, until, bytes(body), counts, ttls, addresses=addresses)


def nothing(rcode: int, until: float, ttl: int) -> Prepared:
    """No record, and for how long that may be believed: NXDOMAIN, or NOERROR where there is none of the type."""
    data = AUTHORITY_NAMES + struct.pack("!5I", 1, ttl, ttl, ttl, ttl)
    body = AUTHORITY + TTL.pack(0) + len(data).to_bytes(2) + data
    return Prepared(rcode, until, body, (0, 1, 0), (len(AUTHORITY),))


def bare(query: Query, rcode: int) -> bytes:
    """An answer that says no more than that."""
    header = HEADER.pack(
        query.number, QR | RA | query.flags & (OPCODE | RD | CD) | rcode & 0xF, 1, 0, 0, query.edns
    )
    return header + query.question + (_opt(query, rcode >> 4) if query.edns else b"")


def malformed(number: int) -> bytes:
    return HEADER.pack(number, QR | RA | 1, 0, 0, 0, 0)


def bad_version(query: Query) -> bytes:
    return bare(query, BADVERS)


def _opt(query: Query, rcode: int = 0) -> bytes:
    flags = DO if query.dnssec else 0
    return b"\0" + struct.pack("!HHBBHH", OPT, MAX_UDP_BYTES, rcode, 0, flags, 0)
