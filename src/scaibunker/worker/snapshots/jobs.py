"""The snapshots that this worker makes: each a task that copies, packs and stores.

Nothing of them outlives the daemon but what is stored: one that is interrupted is not made, and its
machine goes on (`machines.capture`). The manifest is stored last, so that a snapshot without one is none.
"""

import asyncio
import contextlib
import functools
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from scaibunker import __version__
from scaibunker.wire.codes import Code
from scaibunker.wire.guest import PROTOCOL_VERSION
from scaibunker.wire.worker.snapshots import (
    DISK_PART,
    SnapshotBase,
    SnapshotManifest,
    SnapshotPhase,
    SnapshotRequest,
    SnapshotStatus,
)
from scaibunker.worker.errors import SnapshotNotFound, WorkerFault
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.room import Room
from scaibunker.worker.snapshots import bases
from scaibunker.worker.snapshots.bases import KnownBase
from scaibunker.worker.snapshots.delivery import Delivered, Delivery
from scaibunker.worker.snapshots.store import SnapshotStore

log = structlog.get_logger(__name__)

MAX_REMEMBERED = 200
"""Snapshots whose end is remembered; the oldest go first."""
FINAL = (SnapshotPhase.STORED, SnapshotPhase.FAILED)


class Snapshots:
    """`folder` is for work under way; `changed` is called at each new phase. `reserve_bytes` of the disk are left
    to the machines."""

    def __init__(
        self,
        folder: Path,
        store: SnapshotStore,
        changed: Callable[[], None],
        reserve_bytes: int = 0,
    ) -> None:
        self._reserve_bytes = reserve_bytes
        self._folder = folder
        self._store = store
        self._changed = changed
        self._known: dict[str, SnapshotStatus] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        shutil.rmtree(folder, ignore_errors=True)  # of a daemon that died

    def statuses(self) -> list[SnapshotStatus]:
        """Those under way, and the last that ended."""
        return list(self._known.values())

    def get(self, snapshot_id: str) -> SnapshotStatus:
        """Raises SnapshotNotFound."""
        try:
            return self._known[snapshot_id]
        except KeyError:
            raise SnapshotNotFound(f"this worker makes no snapshot {snapshot_id}") from None

    def order(self, machine: Machine, request: SnapshotRequest) -> SnapshotStatus:
        """Begin it; one that is known already is left as it is. Raises WorkerFault if the id is another
        one's."""
        status = self._known.get(request.snapshot_id)
        if status is None:
            status = SnapshotStatus(
                snapshot_id=request.snapshot_id,
                bunker_id=machine.id,
                kind=request.kind,
                phase=SnapshotPhase.CAPTURING,
            )
            self._remember(status)
            self._tasks[status.snapshot_id] = asyncio.create_task(
                self._run(machine, status, request), name=f"snapshot {status.snapshot_id}"
            )
        elif (status.bunker_id, status.kind) != (machine.id, request.kind):
            raise WorkerFault("a snapshot of that id is another one", Code.NAME_CONFLICT)
        return status

    async def forget(self, snapshot_id: str) -> None:
        """Give up one that is under way, and forget it. What is stored stays. Idempotent."""
        task = self._tasks.get(snapshot_id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._known.pop(snapshot_id, None)

    async def close(self) -> None:
        """Give up all that are under way; their machines go on."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(
        self, machine: Machine, status: SnapshotStatus, request: SnapshotRequest
    ) -> None:
        folder = self._folder / status.snapshot_id
        room = Room(folder, self._reserve_bytes)
        moved = functools.partial(self._move, status)
        delivery = Delivery(self._store, status, folder, room, moved)
        try:
            folder.mkdir(mode=0o700, parents=True)
            await self._make(machine, status, folder, delivery, request)
            self._move(status, SnapshotPhase.STORED)
        except asyncio.CancelledError:
            status.reason = "it was given up"
            raise
        except WorkerFault as fault:
            status.reason = fault.message
        except OSError as error:
            status.reason = f"the worker's disk: {error.strerror}"
        except Exception as error:
            log.exception("snapshot_broke", snapshot_id=status.snapshot_id)
            status.reason = f"the worker failed: {type(error).__name__}"
        finally:
            self._tasks.pop(status.snapshot_id, None)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            if status.phase is not SnapshotPhase.STORED:
                log.warning("snapshot_failed", snapshot_id=status.snapshot_id, reason=status.reason)
                await self._take_back(delivery.stored)
                self._move(status, SnapshotPhase.FAILED)

    async def _make(
        self,
        machine: Machine,
        status: SnapshotStatus,
        folder: Path,
        delivery: Delivery,
        request: SnapshotRequest,
    ) -> None:
        def progress(done: int, total: int) -> None:
            status.done_bytes, status.total_bytes = done, total

        captured, offered = await machine.capture(status.kind, folder, progress), request.base
        # Not before: what the guest's memory has let go of is in them then.
        outputs = machine.spools.outputs() if request.keep_execs else ()
        known = await asyncio.to_thread(bases.read, machine.base_file) if offered else None
        usable = known if known is not None and known.base == offered else None
        delivered = await delivery.send(captured, usable, outputs)
        manifest = _manifest(machine, status, delivered).model_dump_json().encode()
        digest = await delivery.send_manifest(manifest)
        await _remember(machine, status, delivered, digest, folder)
        status.size_bytes = sum(p.size for p in delivered.parts.values()) + len(manifest)
        status.manifest_sha256 = digest
        if delivered.base is not None:
            status.base_snapshot_id = delivered.base.base.snapshot_id

    async def _take_back(self, stored: list[str]) -> None:
        for name in reversed(stored):
            with contextlib.suppress(
                WorkerFault
            ):  # the controller removes what is left of a failed one
                await self._store.delete(name)

    def _move(self, status: SnapshotStatus, phase: SnapshotPhase) -> None:
        status.phase = phase
        if phase not in FINAL:
            status.done_bytes = status.total_bytes = 0
        self._changed()

    def _remember(self, status: SnapshotStatus) -> None:
        ended = [key for key, known in self._known.items() if known.phase in FINAL]
        for key in ended[: max(0, len(self._known) - MAX_REMEMBERED + 1)]:
            del self._known[key]
        self._known[status.snapshot_id] = status


async def _remember(
    machine: Machine, status: SnapshotStatus, delivered: Delivered, digest: str, folder: Path
) -> None:
    """Have the machine's next snapshot hold the differences to this one, if it may. Where that fails it will
    be whole."""
    if delivered.digests is None:
        return
    path = folder / "base"
    base = SnapshotBase(snapshot_id=status.snapshot_id, manifest_sha256=digest)
    known, below = KnownBase(base, 0, delivered.digests), delivered.base
    size = delivered.parts[DISK_PART].size
    if below is None:
        known = replace(known, whole_bytes=size)
    else:
        known = replace(
            known,
            depth=below.depth + 1,
            whole_bytes=below.whole_bytes,
            above_bytes=below.above_bytes + size,
        )
    with contextlib.suppress(OSError):
        await asyncio.to_thread(bases.write, path, known)
        path.rename(machine.base_file)  # no machine, no folder: it was taken down meanwhile


def _manifest(machine: Machine, status: SnapshotStatus, delivered: Delivered) -> SnapshotManifest:
    spec, shape = machine.spec, machine.shape
    full = status.kind == "full"
    return SnapshotManifest(
        version=1 if delivered.base is None else 2,
        snapshot_id=status.snapshot_id,
        bunker_id=spec.bunker_id,
        tenant_id=spec.tenant_id,
        kind=status.kind,
        created_unix_s=time.time(),
        worker_version=__version__,
        guest_protocol=PROTOCOL_VERSION,
        state_format=shape.state_format if full else None,
        token_hex=machine.record.token_hex if full else "",
        image_sha256=spec.image_sha256,
        image_size=spec.image_size,
        vcpus=shape.vcpus,
        memory_mb=shape.memory_mb,
        macs=list(shape.macs) if full else [],
        disk_mb=spec.disk_mb,
        base=None if delivered.base is None else delivered.base.base,
        parts=delivered.parts,
    )
