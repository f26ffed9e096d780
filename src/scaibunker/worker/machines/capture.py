"""Copying a machine that stands still: its disk, and for a full snapshot its memory.

A running machine's programs are held first and its disk is written out, then it is frozen, copied, and goes on
at once. That it is frozen for a copy is written down before, so that the next daemon lets it go on.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import structlog

from scaibunker.wire.worker.snapshots import SnapshotKind
from scaibunker.worker.disks.copy import copy_sparse, extents
from scaibunker.worker.errors import MachineNotRunning, WorkerFault
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.machines.body import Body
from scaibunker.worker.machines.size import BOOT_CPU_MILLICORES, VMM_CPU_MILLICORES
from scaibunker.worker.room import Room
from scaibunker.worker.threads import in_thread
from scaibunker.worker.vmm.port import Progress, VmmHandle

log = structlog.get_logger(__name__)

HOLD_LIMIT_S = 300.0
"""Seconds of its own after which a guest goes on by itself, should nobody tell it to."""
HOLD_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Captured:
    """The copies. `memory` is None where only the disk was asked for."""

    disk: Path
    memory: Path | None


async def capture(
    body: Body, kind: SnapshotKind, folder: Path, *, running: bool, progress: Progress
) -> Captured:
    """Copy it into `folder`. Whatever happens it goes on if it was `running`. Raises WorkerFault."""
    vmm, agent = body.vmm, body.agent
    if vmm is None or agent is None:
        raise MachineNotRunning("the machine has not been built")
    if kind == "full" and not body.host.driver.capabilities.memory_snapshot:
        raise WorkerFault("this worker's VMM cannot save memory")
    disk = body.folder.upper_disk
    room = Room(folder, body.host.reserve_bytes)

    def guarded(done: int, total: int) -> None:
        room.check(1, "a snapshot of it")  # others fill the disk too
        progress(done, total)

    try:
        room.check(_needed(disk, body.memory_mb if kind == "full" else 0), "a snapshot of it")
    except OSError as error:
        raise WorkerFault(f"cannot look at the worker's disk: {error.strerror}") from error
    if not running:
        return await _copy(body, vmm, kind, folder, guarded)
    try:
        body.record.frozen_for_copy = True
        body.save()
        await agent.hold(freeze_disk=kind == "disk", limit_s=HOLD_LIMIT_S, timeout_s=HOLD_TIMEOUT_S)
        await vmm.pause()
        return await _copy(body, vmm, kind, folder, guarded)
    finally:
        await _go_on(body, vmm, agent)


async def _copy(
    body: Body, vmm: VmmHandle, kind: SnapshotKind, folder: Path, progress: Progress
) -> Captured:
    copied = 0

    def done(more: int) -> None:
        nonlocal copied
        copied += more
        progress(copied, copied)

    source, disk = body.folder.upper_disk, folder / "disk"
    try:
        memory = await _save_memory(body, vmm, folder, progress) if kind == "full" else None
        await in_thread(lambda stop: copy_sparse(source, disk, stop, done))
    except OSError as error:
        raise WorkerFault(f"cannot copy the machine: {error.strerror}") from error
    return Captured(disk, memory)


async def _save_memory(body: Body, vmm: VmmHandle, folder: Path, progress: Progress) -> Path:
    """The guest stands still, so that a small share of CPU need not hold the save up."""
    spec, cgroups = body.spec, body.host.cgroups
    path = folder / "memory"
    cgroups.set_cpu(
        body.host_name, max(spec.cpu_millicores, BOOT_CPU_MILLICORES) + VMM_CPU_MILLICORES
    )
    try:
        with path.open("xb") as target:
            path.chmod(0o600)
            await vmm.save(target.fileno(), progress)
    finally:
        cgroups.set_cpu(body.host_name, spec.cpu_millicores + VMM_CPU_MILLICORES)
    return path


async def _go_on(body: Body, vmm: VmmHandle, agent: GuestAgent) -> None:
    """Raises WorkerFault if the VMM does not let it; a machine that has ended is told of by whoever
    watches it."""
    await vmm.resume()
    body.record.frozen_for_copy = False
    with contextlib.suppress(OSError):  # said again: it is let go on once more, which is harmless
        body.save()
    for word in (agent.set_clock, agent.release):
        try:
            await word()
        except WorkerFault as fault:
            # Its programs go on by themselves when the hold's limit is over.
            log.warning("guest_not_released", bunker_id=body.spec.bunker_id, reason=fault.message)


def _needed(disk: Path, memory_mb: int) -> int:
    """Bytes: a copy, and the same again packed."""
    with disk.open("rb") as file:
        data = sum(length for _, length in extents(file.fileno()))
    return 2 * (data + memory_mb * 1024 * 1024)
