"""Reading a stored snapshot back into a machine's folder, nothing of it trusted before it is verified.

The order names the manifest's SHA-256, the manifest the parts'. What does not fit this machine or this host
is refused before anything large is fetched, in words for the machine's owner. Parts are fetched, verified and
unpacked at the same time, since a bunker that wakes up waits for it; a machine is made of them when all are
verified.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import structlog

from scaibunker.wire.codes import Code
from scaibunker.wire.guest import PROTOCOL_VERSION
from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.wire.worker.snapshots import (
    DIGESTS_PART,
    DISK_PART,
    EXECS_PART,
    MEMORY_PART,
    SnapshotBase,
    SnapshotManifest,
    SnapshotSource,
)
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.room import Room
from scaibunker.worker.snapshots import bases
from scaibunker.worker.snapshots.chain import chain_of
from scaibunker.worker.snapshots.fetching import manifest_of, verified
from scaibunker.worker.snapshots.forms import (
    Drain,
    delta_drain,
    disk_drain,
    execs_drain,
    file_drain,
)
from scaibunker.worker.snapshots.packing import unpack
from scaibunker.worker.snapshots.store import SnapshotStore
from scaibunker.worker.threads import together

log = structlog.get_logger(__name__)

MIB = 1024 * 1024


@dataclass(frozen=True)
class Target:
    """The machine that is to be. `state_format` is that of its VMM, `memory_mb` in MiB, `reserve_bytes` what
    is left alone of the worker's disk, `macs` those of its network devices."""

    spec: MachineSpec
    vcpus: int
    memory_mb: int
    state_format: str
    reserve_bytes: int
    macs: Sequence[str] = ()


@dataclass(frozen=True)
class Restored:
    """What came of it. `memory` is the saved state for a `full` restore, else None. `base` is what is known of
    the snapshot, for those that are made of the machine (`bases`). `execs` is a folder of what its commands have
    written, if they are still its own."""

    manifest: SnapshotManifest
    memory: Path | None
    base: Path | None = None
    execs: Path | None = None


async def restore(
    store: SnapshotStore, source: SnapshotSource, target: Target, folder: Path, disk: Path
) -> Restored:
    """Make the machine's `disk`, and its saved memory in `folder`, which is made anew. Raises WorkerFault;
    there is no `disk` then, nor anything in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    disk.unlink(missing_ok=True)
    memory = folder / "memory" if source.kind == "full" else None
    fresh = folder / "disk"
    room = Room(folder.parent, target.reserve_bytes)
    try:
        folder.mkdir(mode=0o700)
        manifest = await manifest_of(store, source.snapshot_id, source.manifest_sha256)
        judge(manifest, source, target)
        chain = await chain_of(store, manifest)
        _check_room(chain, source, room)
        works = [_disk(store, chain, fresh, room), _base(store, chain, source, folder, room)]
        if memory is not None:
            works.append(_part(store, manifest, MEMORY_PART, file_drain, memory, room))
        if source.keep_execs and EXECS_PART in manifest.parts:
            execs = folder / "execs"
            works.append(_part(store, manifest, EXECS_PART, execs_drain, execs, room))
        await together(*works)
        os.truncate(fresh, target.spec.disk_mb * MIB)  # the guest has its file system fill it
        fresh.rename(disk)
    except BaseException as error:
        told = (
            _told(error, room) if isinstance(error, OSError) else error
        )  # as full as it was found
        shutil.rmtree(folder, ignore_errors=True)
        raise told from (None if told is error else error)
    base, execs = folder / "base", folder / "execs"
    return Restored(
        manifest, memory, base if base.exists() else None, execs if execs.exists() else None
    )


def judge(manifest: SnapshotManifest, source: SnapshotSource, target: Target) -> None:
    """Whether it fits. Raises WorkerFault with the first thing that does not."""
    spec = target.spec
    disk = manifest.parts.get(DISK_PART)
    if manifest.snapshot_id != source.snapshot_id or manifest.tenant_id != spec.tenant_id:
        raise WorkerFault("the snapshot is not the one that was meant")
    if (manifest.image_sha256, manifest.image_size) != (spec.image_sha256, spec.image_size):
        raise WorkerFault("the snapshot is of a bunker with another image")
    if disk is None or disk.unpacked_size != manifest.disk_mb * MIB:
        raise WorkerFault("the snapshot has no disk of the size that it says")
    if spec.disk_mb < manifest.disk_mb:
        raise WorkerFault(
            f"a disk of {spec.disk_mb} MiB is smaller than the snapshot's of {manifest.disk_mb}"
        )
    if source.kind == "full":
        try:
            _judge_memory(manifest, target)
        except WorkerFault as fault:
            raise WorkerFault(fault.message, Code.SNAPSHOT_INCOMPATIBLE) from None


def _judge_memory(manifest: SnapshotManifest, target: Target) -> None:
    part = manifest.parts.get(MEMORY_PART)
    if manifest.kind != "full" or part is None or not manifest.token_hex:
        raise WorkerFault("the snapshot has no memory: it is one of the disk alone")
    if manifest.state_format != target.state_format:
        raise WorkerFault(
            f"the snapshot's memory was saved by {manifest.state_format}; this worker has "
            f"{target.state_format}, and can restore the disk alone"
        )
    if manifest.guest_protocol != PROTOCOL_VERSION:
        raise WorkerFault(
            f"the snapshot's guest agent speaks version {manifest.guest_protocol}, this worker "
            f"{PROTOCOL_VERSION}; it can restore the disk alone"
        )
    if (manifest.vcpus, manifest.memory_mb) != (target.vcpus, target.memory_mb):
        raise WorkerFault(
            f"the snapshot is of {manifest.vcpus} CPUs and {manifest.memory_mb} MiB of memory, which "
            f"must be the same; asked for are {target.vcpus} and {target.memory_mb}"
        )
    if manifest.macs != list(target.macs):
        raise WorkerFault(
            "the snapshot's memory knows other network devices: "
            f"{', '.join(manifest.macs) or 'none'}; the bunker's are {', '.join(target.macs) or 'none'}"
        )
    if manifest.disk_mb != target.spec.disk_mb:
        raise WorkerFault(
            f"with its memory a snapshot keeps its disk's size, {manifest.disk_mb} MiB"
        )
    if part.unpacked_size > 2 * manifest.memory_mb * MIB + 256 * MIB:
        raise WorkerFault("the snapshot's memory is larger than it can be")


async def _disk(
    store: SnapshotStore, chain: Sequence[SnapshotManifest], target: Path, room: Room
) -> None:
    """The whole one, then what differed from it, and so on."""
    *above, whole = chain
    await _part(store, whole, DISK_PART, disk_drain, target, room)
    for manifest in reversed(above):
        await _part(store, manifest, DISK_PART, delta_drain, target, room)


async def _base(
    store: SnapshotStore,
    chain: Sequence[SnapshotManifest],
    source: SnapshotSource,
    folder: Path,
    room: Room,
) -> None:
    """What the next snapshot may rest upon. It is none of the machine, and where it cannot be had that one
    will be whole."""
    manifest, digests = chain[0], folder / "digests"
    part, size = manifest.parts.get(DIGESTS_PART), bases.digests_size(manifest.disk_mb)
    if part is None or part.unpacked_size != size or not bases.remembered(manifest.disk_mb):
        return
    try:
        await _part(store, manifest, DIGESTS_PART, file_drain, digests, room)
    except WorkerFault as fault:
        log.warning("digests_missing", snapshot_id=manifest.snapshot_id, reason=fault.message)
        return
    base = SnapshotBase(snapshot_id=source.snapshot_id, manifest_sha256=source.manifest_sha256)

    def write() -> None:
        sizes = [each.parts[DISK_PART].size for each in chain]
        known = bases.KnownBase(
            base,
            depth=len(chain) - 1,
            digests=digests.read_bytes(),
            whole_bytes=sizes[-1],
            above_bytes=sum(sizes[:-1]),
        )
        bases.write(folder / "base", known)

    await asyncio.to_thread(write)
    digests.unlink()


async def _part(
    store: SnapshotStore,
    manifest: SnapshotManifest,
    name: str,
    form: Callable[[Path, int, Room], Drain],
    target: Path,
    room: Room,
) -> None:
    """Unpack one part while it comes."""
    part = manifest.parts[name]
    async with aclosing(verified(store, manifest.snapshot_id, name, part)) as chunks:
        await unpack(chunks, form(target, part.unpacked_size, room))


def _check_room(chain: Sequence[SnapshotManifest], source: SnapshotSource, room: Room) -> None:
    """For the parts as they will be; older workers did not write down how much of a disk is holes."""
    disks = [manifest.parts[DISK_PART] for manifest in chain]
    needed = max(part.size if part.data_size is None else part.data_size for part in disks)
    if source.kind == "full":
        needed += chain[0].parts[MEMORY_PART].unpacked_size
    room.check(needed, "the snapshot")


def _told(error: OSError, room: Room) -> WorkerFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return room.exceeded("the snapshot")
    return WorkerFault(f"cannot restore the snapshot: {error.strerror}")
