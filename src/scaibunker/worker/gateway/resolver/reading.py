"""What an upstream's message says: which addresses the asked name stands for, and what may be passed on of it."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from scaibunker.worker.gateway.resolver.prepared import Address, Prepared
from scaibunker.worker.gateway.resolver.wire import (
    AAAA,
    AD,
    CNAME,
    HEADER,
    HEADER_BYTES,
    IN,
    NOERROR,
    OPT,
    SOA,
    A,
    Malformed,
    Record,
    name_at,
    records,
)  # fmt: skip

MAX_RECORDS = 512
MAX_ALIASES = 16
MAX_ADDRESSES = 32
"""Of one family, for one name: more make no name easier to reach."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`rcode` NOERROR or NXDOMAIN. `name`: where the aliases of the asked one end, as bytes in lower case; `open_end`:
    the message leaves off there, and it should be asked for. `ttl`: the least on the way, in seconds."""

    rcode: int
    name: bytes
    addresses: tuple[Address, ...]
    ttl: int
    open_end: bool = False


def read_addresses(message: bytes, question: bytes) -> Reading:
    """Of a message that fits `question` (type A or AAAA), with an rcode of NOERROR or NXDOMAIN. Raises Malformed."""
    kind = int.from_bytes(question[-4:-2])
    aliases: dict[bytes, tuple[bytes, int]] = {}
    found: dict[bytes, list[tuple[Address, int]]] = {}
    authority: int | None = None
    for record in _records(message, len(question)):
        if record.klass != IN:
            continue
        if record.section == 1 and record.kind == SOA:
            authority = _negative_ttl(message, record)
        if record.section != 0:
            continue
        if record.kind == CNAME:
            target = name_at(message, record.data_at)
            aliases.setdefault(name_at(message, record.begin), (target, record.ttl))
        elif record.kind == kind and record.end - record.data_at == (4 if kind == A else 16):
            address = ipaddress.ip_address(message[record.data_at : record.end])
            found.setdefault(name_at(message, record.begin), []).append((address, record.ttl))
    name, ttl, steps = question[:-4], 1 << 31, 0
    while name not in found and name in aliases:
        name, alias_ttl = aliases[name]
        ttl = min(ttl, alias_ttl)
        steps += 1
        if steps > MAX_ALIASES:
            raise Malformed("aliases go in circles")
    rcode = message[3] & 0xF
    pairs = found.get(name, [])
    if pairs:
        # An rcode beside addresses speaks of something else.
        addresses = tuple(dict.fromkeys(address for address, _ in pairs))[:MAX_ADDRESSES]
        return Reading(NOERROR, name, addresses, min(ttl, *(t for _, t in pairs)))
    if steps and rcode == NOERROR and authority is None:
        return Reading(rcode, name, (), ttl, open_end=True)
    return Reading(rcode, name, (), min(ttl, authority or 0))


def pass_on(message: bytes, question: bytes, ttl_range: tuple[int, int], now: float) -> Prepared:
    """All that it says, but for what concerns upstream and us alone (OPT). Raises Malformed."""
    begin = HEADER_BYTES + len(question)
    _, flags, _, answers, authorities, _ = HEADER.unpack_from(message)
    ttls: list[int] = []
    least: int | None = None
    addresses: list[Address] = []
    end, additional = begin, 0
    for record in _records(message, len(question)):
        if record.kind == OPT:
            if record.section != 2:
                raise Malformed("OPT out of its place")
            break  # pointers reach backwards only: what comes after it goes with it
        end = record.end
        ttls.append(record.ttl_at - begin)
        if record.section == 2:
            additional += 1
        else:
            least = record.ttl if least is None else min(least, record.ttl)
        if record.section == 0 and record.klass == IN and record.kind in (A, AAAA):
            data = message[record.data_at : record.end]
            if len(data) == (4 if record.kind == A else 16):
                addresses.append(ipaddress.ip_address(data))
    return Prepared(
        flags & 0xF,
        now + min(max(least or 0, ttl_range[0]), ttl_range[1]),
        message[begin:end],
        (answers, authorities, additional),
        ttls,
        addresses=tuple(dict.fromkeys(addresses))[: 2 * MAX_ADDRESSES],
        ad=bool(flags & AD),
    )


def _records(message: bytes, question_bytes: int) -> Sequence[Record]:
    counts = HEADER.unpack_from(message)[3:]
    if sum(counts) > MAX_RECORDS:
        raise Malformed("too many records")
    return list(records(message, HEADER_BYTES + question_bytes, counts))


def _negative_ttl(message: bytes, record: Record) -> int:
    """The least of the record's own TTL and of what it says of answers like this."""
    if record.end - record.data_at < 22:
        raise Malformed("a short SOA")
    return min(record.ttl, int.from_bytes(message[record.end - 4 : record.end]))
