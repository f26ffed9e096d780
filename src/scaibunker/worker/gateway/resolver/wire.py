"""DNS messages as bytes: what of them is looked at on the way of each question, without making objects of the rest.

What a guest sends is read by `read_query`, what upstreams send by `records`; both take any bytes.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = struct.Struct("!6H")
FIXED = struct.Struct("!HHIH")
"""Of a record, after its owner: type, class, TTL, length."""
HEADER_BYTES = 12
MAX_NAME_BYTES = 255
MAX_LABEL_BYTES = 63
MAX_NAMES_POINTED = 32
MIN_UDP_BYTES = 512
MAX_UDP_BYTES = 1232
"""What passes any path in one piece: no guest is sent more by UDP, whatever it says that it takes."""

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE = 0x7800
DO = 0x8000
IN = 1
A, NS, CNAME, SOA, AAAA, OPT, ANY = 1, 2, 5, 6, 28, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
TRANSFERS = range(249, 255)
"""TKEY, TSIG, transfers of zones: no questions that a resolver passes on."""

HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)


class Malformed(Exception):
    """These bytes are no message, or none that is answered."""


@dataclass(frozen=True, slots=True)
class Query:
    """`question`: the name as the guest wrote it, type and class; `key`: the same with the name in lower case.
    `limit`: how many bytes it takes by UDP. `edns`: whether it speaks EDNS, and then `version`."""

    number: int
    flags: int
    question: bytes
    key: bytes
    kind: int
    klass: int
    limit: int = MIN_UDP_BYTES
    edns: bool = False
    version: int = 0
    dnssec: bool = False

    @property
    def opcode(self) -> int:
        return (self.flags & OPCODE) >> 11

    def name(self) -> str:
        """In lower case, without a final dot; bytes that are in no host name as \\DDD."""
        return text_of(self.key[:-4])


def text_of(name: bytes) -> str:
    labels, at = [], 0
    while name[at]:
        label = name[at + 1 : at + 1 + name[at]]
        labels.append("".join(chr(b) if _plain(b) else f"\\{b:03d}" for b in label))
        at += 1 + name[at]
    return ".".join(labels)


def _plain(byte: int) -> bool:
    return 0x21 <= byte <= 0x7E and byte not in b".\\"


def wire_of(name: str) -> bytes:
    """Of a host name in ASCII, with or without a final dot. Raises Malformed."""
    name = name.lower().removesuffix(".")
    if not HOST_NAME.fullmatch(name) or len(name) > MAX_NAME_BYTES - 2:
        raise Malformed("no host name")
    return b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"


def read_query(packet: bytes) -> Query:
    """Raises Malformed; `number_of` may still tell whom to say so."""
    if len(packet) < HEADER_BYTES:
        raise Malformed("short")
    number, flags, questions, answers, authorities, additional = HEADER.unpack_from(packet)
    if flags & QR:
        raise Malformed("an answer")
    if questions != 1 or answers or authorities or additional > 1:
        raise Malformed("not one question")
    end, size = HEADER_BYTES, len(packet)
    while True:
        if end >= size:
            raise Malformed("ends in the name")
        length = packet[end]
        if length > MAX_LABEL_BYTES:
            raise Malformed("a pointer or a long label")
        end += 1 + length
        if end - HEADER_BYTES > MAX_NAME_BYTES:
            raise Malformed("a long name")
        if not length:
            break
    if end + 4 > size:
        raise Malformed("ends in the question")
    question = packet[HEADER_BYTES : end + 4]
    kind, klass = int.from_bytes(question[-4:-2]), int.from_bytes(question[-2:])
    # Lengths of labels are below "A": lowering the case of all bytes leaves them as they are.
    key = question[:-4].lower() + question[-4:]
    if not additional:
        return Query(number, flags, question, key, kind, klass)
    end += 4
    if packet[end : end + 3] != b"\0\0\x29" or end + 11 > size:
        raise Malformed("what is added is no OPT")
    limit = int.from_bytes(packet[end + 3 : end + 5])
    version, dnssec = packet[end + 6], bool(packet[end + 7] & 0x80)
    if end + 11 + int.from_bytes(packet[end + 9 : end + 11]) > size:
        raise Malformed("ends in OPT")
    limit = min(max(limit, MIN_UDP_BYTES), MAX_UDP_BYTES)
    return Query(number, flags, question, key, kind, klass, limit, True, version, dnssec)


def number_of(packet: bytes) -> int | None:
    """Of a question that could not be read; None where an answer would be wrong (to an answer) or impossible."""
    if len(packet) < HEADER_BYTES or packet[2] & 0x80:
        return None
    return int.from_bytes(packet[:2])


@dataclass(frozen=True, slots=True)
class Record:
    """Of a message. `section`: 0 answer, 1 authority, 2 additional. Offsets into the message."""

    section: int
    begin: int
    kind: int
    klass: int
    ttl: int
    ttl_at: int
    data_at: int
    end: int


def records(message: bytes, begin: int, counts: tuple[int, int, int]) -> Iterator[Record]:
    """Those after the question, which ends at `begin`. Raises Malformed."""
    at, size = begin, len(message)
    for section, count in enumerate(counts):
        for _ in range(count):
            start, at = at, _after_name(message, at)
            if at + FIXED.size > size:
                raise Malformed("ends in a record")
            kind, klass, ttl, length = FIXED.unpack_from(message, at)
            data = at + FIXED.size
            if data + length > size:
                raise Malformed("ends in a record")
            yield Record(section, start, kind, klass, ttl, at + 4, data, data + length)
            at = data + length


def _after_name(message: bytes, at: int) -> int:
    size = len(message)
    while at < size:
        length = message[at]
        if length >= 0xC0:
            return at + 2
        if length > MAX_LABEL_BYTES:
            break
        at += 1 + length
        if not length:
            return at
    raise Malformed("ends in a name")


def name_at(message: bytes, at: int) -> bytes:
    """The name there, in lower case, without pointers. Raises Malformed, also for one that points in circles."""
    parts: list[bytes] = []
    length_so_far, followed, size = 0, 0, len(message)
    while at < size:
        length = message[at]
        if length >= 0xC0:
            followed += 1
            if followed > MAX_NAMES_POINTED or at + 2 > size:
                raise Malformed("points in circles")
            at = int.from_bytes(message[at : at + 2]) & 0x3FFF
            continue
        if length > MAX_LABEL_BYTES or at + 1 + length > size:
            break
        length_so_far += 1 + length
        if length_so_far > MAX_NAME_BYTES:
            break
        parts.append(message[at : at + 1 + length])
        if not length:
            return b"".join(parts).lower()
        at += 1 + length
    raise Malformed("no name")
