"""The form of netlink messages. What the kernel sends is taken to be well-formed, but nothing loops or reads beyond it
if it is not."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_FAMILY_HEADER = 4
_TYPE = 0x3FFF
"""Without the flags for nested attributes and byte order."""

Span = tuple[int, int]


class Message(NamedTuple):
    """`kind` with the subsystem in its high byte; `sender`: 0 for the kernel itself, else on whose request it was done.
    `body`: where its attributes are."""

    kind: int
    flags: int
    sender: int
    body: Span


def messages(data: bytes) -> Iterator[Message]:
    """Those of one datagram of a nfnetlink socket."""
    position, end = 0, len(data)
    while position + _HEADER.size + _FAMILY_HEADER <= end:
        size, kind, flags, _, sender = _HEADER.unpack_from(data, position)
        last = min(position + size, end)
        if size < _HEADER.size:
            return
        yield Message(kind, flags, sender, (position + _HEADER.size + _FAMILY_HEADER, last))
        position += (size + 3) & ~3


def attributes(data: bytes, span: Span) -> dict[int, Span]:
    """Where the value of each is, by type."""
    found = {}
    position, end = span
    while position + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, position)
        if size < 4 or position + size > end:
            break
        found[kind & _TYPE] = (position + 4, position + size)
        position += (size + 3) & ~3
    return found
