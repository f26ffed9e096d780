"""Snapshot parts on their way to storage and back: compressed, and hashed as they pass.

Nothing waits for a whole part but its checksum: what compresses, what writes and what reads go on at
the same time.
"""

import asyncio
import functools
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scaibunker.worker.room import Room
from scaibunker.worker.snapshots.forms import CHUNK, Drain, Feed, Malformed
from scaibunker.worker.snapshots.zstd import MEMORY_LIMIT, Zstd
from scaibunker.worker.threads import check, in_thread, together


@dataclass(frozen=True)
class Packed:
    """Bytes and SHA-256 of a compressed part."""

    size: int
    sha256: str


async def pack(feed: Feed, target: Path, room: Room) -> Packed:
    """Compress what `feed` writes into `target`, in the background. Raises WorkerFault, OSError."""
    packed: list[Packed] = []

    async def write(zstd: Zstd) -> None:
        await in_thread(lambda stop: _fed(feed, zstd, stop))

    async def collect(zstd: Zstd) -> None:
        packed.append(await in_thread(lambda stop: _collect(zstd.stdout, target, room, stop)))

    with Zstd("-1") as zstd:
        zstd.be_nice()
        await together(write(zstd), collect(zstd), broken=zstd.kill)
        await asyncio.to_thread(zstd.await_end)
    return packed[0]


async def unpack(chunks: AsyncIterator[bytes], drain: Drain) -> None:
    """Decompress what comes, and have `drain` read it. `chunks` raise at their end if they are not what they
    should be: a part that `drain` cannot read is read on to hear whether it is that. Raises WorkerFault,
    OSError; what `drain` has made is worthless then."""
    malformed: list[Malformed] = []

    async def read(zstd: Zstd) -> None:
        try:
            await in_thread(lambda stop: drain(zstd.stdout, stop))
        except Malformed as fault:
            malformed.append(fault)
            zstd.kill()

    with Zstd("-d", MEMORY_LIMIT) as zstd:
        await together(_pour(chunks, zstd), read(zstd), broken=zstd.kill)
        if malformed:
            raise malformed[0]
        await asyncio.to_thread(zstd.await_end)


def _fed(feed: Feed, zstd: Zstd, stop: threading.Event) -> None:
    try:
        feed(zstd.stdin.fileno(), stop)
        zstd.stdin.close()
    except BrokenPipeError:
        pass  # it says itself why it ended


def _collect(pipe: IO[bytes], target: Path, room: Room, stop: threading.Event) -> Packed:
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        target.chmod(0o600)
        while data := os.read(pipe.fileno(), CHUNK):
            check(stop)
            room.check(len(data), "what is being packed")
            digest.update(data)
            file.write(data)
            size += len(data)
    return Packed(size, digest.hexdigest())


async def _pour(chunks: AsyncIterator[bytes], zstd: Zstd) -> None:
    wanted = True
    async for chunk in chunks:
        if wanted:
            wanted = await in_thread(functools.partial(_written, zstd, chunk))
    if wanted:
        zstd.stdin.close()


def _written(zstd: Zstd, data: bytes, _stop: threading.Event) -> bool:
    """Whether it was still there to take it; one that is killed does not hold us up."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(zstd.stdin.fileno(), view) :]
    except BrokenPipeError:
        return False
    return True
