"""What a disk's blocks are, by their digests: two disks can be compared when only one of them is there.

A map has 16 bytes of SHA-256 for each block, zeros for one that is empty: 256 KiB for a GiB.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaibunker.worker.disks.copy import extents
from scaibunker.worker.threads import check

BLOCK = 64 * 1024
LENGTH = 16
EMPTY = bytes(LENGTH)
READ = 16 * BLOCK
_ZEROS = bytes(BLOCK)


@dataclass(frozen=True)
class Change:
    """A part of a disk, in bytes, that is not what it was."""

    begin: int
    end: int
    empty: bool


def map_length(size: int) -> int:
    """Bytes of the map of a disk of so many."""
    return -(-size // BLOCK) * LENGTH


def digest_map(path: Path, stop: threading.Event) -> bytes:
    """The map of a disk that nobody writes to meanwhile. Raises OSError, Stopped."""
    with path.open("rb") as disk:
        descriptor = disk.fileno()
        digests = bytearray(map_length(os.fstat(descriptor).st_size))
        done = 0
        for begin, length in extents(descriptor):
            position = max(done, begin // BLOCK * BLOCK)
            end = -(-(begin + length) // BLOCK) * BLOCK
            while position < end:
                check(stop)
                data = os.pread(descriptor, min(READ, end - position), position)
                if not data:
                    break
                for offset in range(0, len(data), BLOCK):
                    where = (position + offset) // BLOCK * LENGTH
                    digests[where : where + LENGTH] = _digest(data[offset : offset + BLOCK])
                position += len(data)
            done = max(done, end)
    return bytes(digests)


def changes(old: bytes, new: bytes, size: int) -> Iterator[Change]:
    """Where a disk of `size` bytes differs from one that is not larger, in order."""
    begun: Change | None = None
    for index in range(len(new) // LENGTH):
        was = old[index * LENGTH : (index + 1) * LENGTH] or EMPTY
        now = new[index * LENGTH : (index + 1) * LENGTH]
        if was == now:
            continue
        begin, end, empty = index * BLOCK, min((index + 1) * BLOCK, size), now == EMPTY
        if begun is not None and (begun.end, begun.empty) == (begin, empty):
            begun = Change(begun.begin, end, empty)
            continue
        if begun is not None:
            yield begun
        begun = Change(begin, end, empty)
    if begun is not None:
        yield begun


def _digest(block: bytes) -> bytes:
    if block == _ZEROS[: len(block)]:
        return EMPTY
    return hashlib.sha256(block, usedforsecurity=False).digest()[:LENGTH]
