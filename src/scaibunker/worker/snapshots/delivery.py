"""A copied machine's way to the store: packed and stored part by part, all parts at once.

The disk goes as what differs from the base, if there is one and that is less; its digests go along, so that
whoever is restored from it can go on with differences.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from scaibunker.wire.worker.snapshots import (
    DIGESTS_PART,
    DISK_PART,
    EXECS_PART,
    MANIFEST_NAME,
    MEMORY_PART,
    SnapshotPart,
    SnapshotPhase,
    SnapshotStatus,
)
from scaibunker.worker.disks.copy import Done, extents, unseen
from scaibunker.worker.disks.digests import Change, changes, digest_map, map_length
from scaibunker.worker.execs.spools import Output
from scaibunker.worker.machines.capture import Captured
from scaibunker.worker.room import Room
from scaibunker.worker.snapshots.bases import KnownBase, remembered
from scaibunker.worker.snapshots.forms import Feed, delta_feed, disk_feed, execs_feed, file_feed
from scaibunker.worker.snapshots.packing import pack
from scaibunker.worker.snapshots.store import SnapshotStore, StoreAway, file_chunks
from scaibunker.worker.threads import in_thread, together

log = structlog.get_logger(__name__)

STORE_PAUSES_S = (0.5, 2.0, 10.0)
"""Before each new try to store a part, while the store is away."""
WORTH = 0.5
"""Of a disk's data: with more than that changed it goes whole."""
MIB = 1024 * 1024


@dataclass(frozen=True)
class _Content:
    """A part before it is packed: what writes it, and bytes of what is made of it."""

    feed: Feed
    unpacked_size: int
    data_size: int | None = None


@dataclass(frozen=True)
class Delivered:
    """What is stored. `base` is what the disk rests upon; `digests` is its map, None for one too large."""

    parts: dict[str, SnapshotPart]
    base: KnownBase | None
    digests: bytes | None


class Delivery:
    """Of one snapshot, by way of `folder`. `stored` are the names that may be in the store; `moved` is called
    for the next phase."""

    def __init__(
        self,
        store: SnapshotStore,
        status: SnapshotStatus,
        folder: Path,
        room: Room,
        moved: Callable[[SnapshotPhase], None],
    ) -> None:
        self.stored: list[str] = []
        self._store = store
        self._status = status
        self._folder = folder
        self._room = room
        self._moved = moved
        self._parts: dict[str, SnapshotPart] = {}
        self._awaited = 0
        self._read = self._to_read = self._sent = 0
        self._digests: bytes | None = None
        self._base: KnownBase | None = None

    async def send(
        self, captured: Captured, base: KnownBase | None, outputs: Sequence[Output] = ()
    ) -> Delivered:
        """Raises WorkerFault, OSError."""
        disk, memory = captured.disk, captured.memory
        maps = remembered(disk.stat().st_size // MIB)
        self._awaited = 1 + (memory is not None) + maps + bool(outputs)
        self._to_read = sum(p.stat().st_blocks * 512 for p in (disk, memory) if p is not None)
        self._moved(SnapshotPhase.PACKING)
        works = [self._disk(disk, base) if maps else self._part(DISK_PART, await self._whole(disk))]
        if memory is not None:
            works.append(self._memory(memory))
        if outputs:
            size = sum(output.size for output in outputs)
            works.append(self._part(EXECS_PART, _Content(execs_feed(outputs, self._more), size)))
        await together(*works)
        return Delivered(self._parts, self._base, self._digests)

    async def send_manifest(self, manifest: bytes) -> str:
        """The last of it; returns its SHA-256. Raises WorkerFault, OSError."""
        path = self._folder / MANIFEST_NAME
        await asyncio.to_thread(path.write_bytes, manifest)
        digest = hashlib.sha256(manifest).hexdigest()
        await self._put(MANIFEST_NAME, len(manifest), digest)
        return digest

    async def _disk(self, disk: Path, base: KnownBase | None) -> None:
        size = disk.stat().st_size
        if base is None or base.is_long or len(base.digests) > map_length(size):
            await together(self._map(disk), self._part(DISK_PART, await self._whole(disk)))
        else:
            digests = await in_thread(lambda stop: digest_map(disk, stop))
            differs = await asyncio.to_thread(_changes, base, digests, size)
            content = self._differences(disk, await self._whole(disk), base, differs)
            await together(self._send_map(digests), self._part(DISK_PART, content))
        disk.unlink()

    async def _whole(self, disk: Path) -> _Content:
        return await asyncio.to_thread(_whole, disk, self._more)

    def _differences(
        self, disk: Path, whole: _Content, base: KnownBase, differs: Sequence[Change]
    ) -> _Content:
        """They, or the whole disk where they are too many."""
        data, changed = whole.data_size or 0, _data(differs)
        if changed > WORTH * data:
            return whole
        self._base = base
        self._to_read -= data - changed
        return replace(whole, feed=delta_feed(disk, differs, self._more))

    async def _map(self, disk: Path) -> None:
        await self._send_map(await in_thread(lambda stop: digest_map(disk, stop)))

    async def _send_map(self, digests: bytes) -> None:
        path = self._folder / "digests"
        await asyncio.to_thread(path.write_bytes, digests)
        # They are no part of what is told of the progress.
        await self._part(DIGESTS_PART, _file(path, unseen))
        self._digests = digests

    async def _memory(self, memory: Path) -> None:
        await self._part(MEMORY_PART, _file(memory, self._more))
        memory.unlink()

    async def _part(self, name: str, content: _Content) -> None:
        """Each goes as soon as it is packed, while others still are."""
        target = self._folder / name
        packed = await pack(content.feed, target, self._room)
        part = SnapshotPart(
            sha256=packed.sha256,
            size=packed.size,
            unpacked_size=content.unpacked_size,
            data_size=content.data_size,
        )
        self._parts[name] = part
        if len(self._parts) == self._awaited:
            self._moved(SnapshotPhase.STORING)
            self._status.total_bytes = sum(p.size for p in self._parts.values())
            self._status.done_bytes = self._sent
        await self._put(name, part.size, part.sha256)
        target.unlink()
        self._sent += part.size
        if self._status.phase is SnapshotPhase.STORING:
            self._status.done_bytes = self._sent

    async def _put(self, part: str, size: int, sha256: str) -> None:
        """Over short absences of the store too. Raises WorkerFault."""
        name, path = f"{self._status.snapshot_id}/{part}", self._folder / part
        self.stored.append(name)
        for pause in (*STORE_PAUSES_S, None):
            try:
                await self._store.put(name, file_chunks(path), size=size, sha256=sha256)
                return
            except StoreAway as fault:
                if pause is None:
                    raise
                log.warning("store_away", name=name, reason=fault.message, again_in_s=pause)
                await asyncio.sleep(pause)

    def _more(self, count: int) -> None:
        """Called by several threads."""
        self._read += count
        if self._status.phase is SnapshotPhase.PACKING:
            self._status.done_bytes = self._read
            self._status.total_bytes = max(self._read, self._to_read)


def _whole(disk: Path, done: Done) -> _Content:
    with disk.open("rb") as file:
        data = sum(length for _, length in extents(file.fileno()))
    return _Content(disk_feed(disk, done), disk.stat().st_size, data)


def _changes(base: KnownBase, digests: bytes, size: int) -> Sequence[Change]:
    return list(changes(base.digests, digests, size))


def _file(path: Path, done: Done) -> _Content:
    return _Content(file_feed(path, done), path.stat().st_size)


def _data(differs: Iterable[Change]) -> int:
    """Bytes of it that are no holes."""
    return sum(c.end - c.begin for c in differs if not c.empty)
