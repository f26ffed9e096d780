"""Bringing snapshots to their end: asks `decide` for a step, does it, asks again.

Run on a hint and on a timer, at every replica; can be killed between any two lines. What a snapshot that is
over leaves behind, on its worker and in object storage, is cleared here at once if that can be; what
cannot is left for the background task (`cleanup`).
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from scaibunker.controller.bunkers import repository as bunkers
from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.settings import ReconcileSettings, SnapshotSettings
from scaibunker.controller.snapshots import repository
from scaibunker.controller.snapshots.decide import Act, Situation, Step, decide
from scaibunker.controller.snapshots.domain import Purpose, Snapshot
from scaibunker.controller.snapshots.remains import Remains
from scaibunker.controller.snapshots.sightings import Sightings
from scaibunker.controller.snapshots.stored import BadManifest, StoredSnapshots
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.domain import Presence, Worker
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.controller.workers.fleet import Absence
from scaibunker.controller.worklist import Worklist
from scaibunker.storage.errors import StoreError
from scaibunker.wire.api.snapshots import SnapshotPhase, SnapshotStatus
from scaibunker.wire.codes import Code
from scaibunker.wire.worker.snapshots import MAX_CHAIN, SnapshotBase, SnapshotRequest
from scaibunker.wire.worker.snapshots import SnapshotStatus as Seen
from scaigrid import logs
from scaigrid.clock import Clock
from scaigrid.db import Database, Writer
from scaigrid.loops import forever
from scaigrid.operation import Operation, system_operation

log = structlog.get_logger(__name__)

MAX_STEPS = 8
"""Steps in one pass."""
MOST_NAMED = 500
"""Snapshots of one heartbeat that are looked at."""
_STANDING = (State.SNAPSHOTTING,)


class SnapshotReconciler:
    """The loop, and one snapshot's pass. `hint_bunker` tells the bunkers' reconciler that a bunker may go on."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        reconcile: ReconcileSettings,
        settings: SnapshotSettings,
        *,
        sightings: Sightings,
        presence: Presence,
        client: WorkerClient,
        stored: StoredSnapshots,
        remains: Remains,
        metrics: ControllerMetrics,
        hint_bunker: Callable[[str], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._reconcile = reconcile
        self._settings = settings
        self._sightings = sightings
        self._presence = presence
        self._client = client
        self._stored = stored
        self._remains = remains
        self._metrics = metrics
        self._hint_bunker = hint_bunker
        self._worklist: Worklist[str] = Worklist(self._settle, reconcile.reconcile_concurrency)
        self._named_by: dict[str, str] = {}

    def hint(self, snapshot_id: str) -> None:
        """A snapshot may need work."""
        self._worklist.hint(snapshot_id)

    def heard(self, worker_id: str, statuses: Sequence[Seen]) -> None:
        """A worker's heartbeat names these: how far they are, or that they can be forgotten."""
        self._sightings.report(worker_id, statuses[:MOST_NAMED])
        for status in statuses[:MOST_NAMED]:
            self._named_by[status.snapshot_id] = worker_id
            self.hint(status.snapshot_id)

    @property
    def at_work(self) -> Collection[str]:
        """Snapshots that are being looked at, or wait for it."""
        return self._worklist.at_work

    async def run(self) -> None:
        """Look for work from time to time, for ever."""
        await forever("snapshots", self._look_for_work, self._reconcile.reconcile_interval_s)

    async def close(self) -> None:
        """Break off all passes; what they were doing is found again."""
        await self._worklist.close()

    async def _look_for_work(self) -> None:
        async with self._database.read() as db:
            found = await repository.unfinished(self._op(), db)
        for snapshot_id in found:
            self.hint(snapshot_id)

    def _op(self) -> Operation:
        return system_operation("snapshots", self._clock)

    async def _settle(self, snapshot_id: str) -> None:
        """One pass: steps until there is nothing to do now."""
        logs.of_system("snapshots")
        op = self._op()
        named_by = self._named_by.pop(snapshot_id, None)
        for _ in range(MAX_STEPS):
            async with self._database.read() as db:
                snapshot = await repository.find(op, db, snapshot_id)
                worker_id = snapshot.worker_id if snapshot else None
                worker = await workers.get(op, db, worker_id) if worker_id else None
            is_over = snapshot is None or snapshot.status.is_final
            if named_by is not None and (is_over or named_by != worker_id):
                await self._forget_at(op, named_by, snapshot_id)
                named_by = None
            if snapshot is None:
                return
            if is_over:
                await self._remains.clear(op, snapshot)
                return
            if not await self._step(op, snapshot, worker):
                return

    async def _step(self, op: Operation, snapshot: Snapshot, worker: Worker | None) -> bool:
        """Do what is to be done next; returns whether to look again at once."""
        seen = await self._seen(snapshot, worker)
        async with self._database.read() as db:
            bunker = await bunkers.get(op, db, snapshot.bunker_id)
        waits = (
            bunker is not None
            and bunker.status is State.SNAPSHOTTING
            and bunker.capturing_snapshot_id == snapshot.id
            and bunker.desired is not Desired.TERMINATED
        )
        situation = Situation(
            now=op.now(),
            seen=seen,
            worker_lost=worker is None or self._presence.is_lost(worker, op.now()),
            bunker_waits=waits,
            order_timeout_s=self._reconcile.order_timeout_s,
            stall_timeout_s=self._settings.snapshot_stall_timeout_s,
        )
        step = decide(snapshot, situation)
        if step.act is Act.NOTHING:
            return False
        return await self._do(op, step, snapshot, worker, seen)

    async def _seen(self, snapshot: Snapshot, worker: Worker | None) -> Seen | Absence:
        """What its worker says of it. One that was never seen is ordered, which asks as well."""
        if worker is None:
            return Absence.UNKNOWN
        is_new = snapshot.phase is None and snapshot.deleted_at is None
        # That it was taken once is news, however long ago, to a row that does not say so.
        good_for_s = math.inf if is_new else self._reconcile.reconcile_interval_s
        seen = self._sightings.last(worker.id, snapshot.id, good_for_s)
        if seen is not None:
            return seen
        if is_new:
            return Absence.ABSENT
        asked_at = self._clock.monotonic()
        try:
            answer = await self._client.snapshot_status(worker.address, snapshot.id)
        except (WorkerUnreachable, WorkerRefused):
            return Absence.UNKNOWN
        if answer is None:
            return Absence.ABSENT
        self._sightings.observe(worker.id, answer, asked_at)
        return answer

    async def _do(
        self,
        op: Operation,
        step: Step,
        snapshot: Snapshot,
        worker: Worker | None,
        seen: Seen | Absence,
    ) -> bool:
        match step.act:
            case Act.ORDER if worker is not None:
                return await self._order(op, snapshot, worker)
            case Act.PROGRESS if isinstance(seen, Seen):
                return await self._progress(op, snapshot, SnapshotPhase(seen.phase.value), seen)
            case Act.READY if isinstance(seen, Seen):
                return await self._ready(op, snapshot, worker, seen)
        if step.act is Act.CANCEL and worker is not None:
            await self._forget(worker, snapshot.id)
        return await self._fail(op, snapshot, worker, step.reason)

    async def _order(self, op: Operation, snapshot: Snapshot, worker: Worker) -> bool:
        request = SnapshotRequest(
            snapshot_id=snapshot.id,
            kind=snapshot.kind.value,
            base=await self._base(op, snapshot),
            keep_execs=True if snapshot.purpose is Purpose.PASSIVATION else None,
        )
        asked_at = self._clock.monotonic()
        try:
            status = await self._asked(worker, snapshot, request)
        except WorkerUnreachable:
            return False  # the timer tries again, until the time for it is over
        except WorkerRefused as refusal:
            log.warning("worker refused a snapshot", snapshot_id=snapshot.id, error=str(refusal))
            if refusal.status >= 500:
                return False
            reason = f"its worker refused it: {refusal.message[:500]}"
            return await self._fail(op, snapshot, worker, reason)
        self._sightings.observe(worker.id, status, asked_at)
        return True

    async def _base(self, op: Operation, snapshot: Snapshot) -> SnapshotBase | None:
        """What it may hold the differences to. It is kept while this one names it."""
        if snapshot.base_snapshot_id is None:
            return None
        async with self._database.read() as db:
            base = await repository.find(op, db, snapshot.base_snapshot_id)
        if base is None or base.manifest_sha256 is None:
            return None
        return SnapshotBase(snapshot_id=base.id, manifest_sha256=base.manifest_sha256)

    async def _chain(self, op: Operation, base_id: str | None) -> Sequence[Snapshot]:
        """What a snapshot with that base rests upon, the whole one last. Raises BadManifest."""
        chain: list[Snapshot] = []
        while base_id is not None:
            if len(chain) >= MAX_CHAIN:
                raise BadManifest(f"it rests upon more than {MAX_CHAIN} others")
            async with self._database.read() as db:
                base = await repository.find(op, db, base_id)
            if base is None:
                raise BadManifest(f"there is no {base_id}, which it rests upon")
            chain.append(base)
            base_id = base.base_snapshot_id
        return chain

    async def _asked(self, worker: Worker, snapshot: Snapshot, request: SnapshotRequest) -> Seen:
        """The worker's answer. One of a release that knows no bases, or keeps no commands, is asked without."""
        try:
            return await self._client.snapshot(worker.address, snapshot.bunker_id, request)
        except WorkerRefused as refusal:
            is_plain = request.base is None and not request.keep_execs
            if is_plain or refusal.code != Code.VALIDATION_ERROR:
                raise
        whole = request.model_copy(update={"base": None, "keep_execs": None})
        return await self._client.snapshot(worker.address, snapshot.bunker_id, whole)

    async def _progress(
        self, op: Operation, snapshot: Snapshot, phase: SnapshotPhase, seen: Seen
    ) -> bool:
        changes = {
            "phase": phase.value,
            "done_bytes": seen.done_bytes,
            "total_bytes": seen.total_bytes,
            "moved_at": op.now(),
        }
        if await self._write(op, snapshot, changes) and phase is not snapshot.phase:
            self._hint_bunker(snapshot.bunker_id)
        return True

    async def _ready(
        self, op: Operation, snapshot: Snapshot, worker: Worker | None, seen: Seen
    ) -> bool:
        """It counts once all of it is found where bunkers are made of it."""
        if seen.manifest_sha256 is None:
            return await self._fail(op, snapshot, worker, "its worker names no manifest")
        if seen.base_snapshot_id not in (None, snapshot.base_snapshot_id):
            return await self._fail(op, snapshot, worker, "its worker built it on another one")
        try:
            chain = await self._chain(op, seen.base_snapshot_id)
            size = await self._stored.check(snapshot, seen.manifest_sha256, chain)
        except BadManifest as fault:
            return await self._fail(op, snapshot, worker, str(fault))
        except StoreError:  # tried again by the timer; its bunker need not wait for that
            if snapshot.phase is not SnapshotPhase.STORING:
                await self._progress(op, snapshot, SnapshotPhase.STORING, seen)
            return False
        now = op.now()
        changes = {
            "status": SnapshotStatus.READY.value,
            "phase": None,
            "size_bytes": size,
            "done_bytes": size,
            "total_bytes": size,
            "manifest_sha256": seen.manifest_sha256,
            "base_snapshot_id": seen.base_snapshot_id,
            "moved_at": now,
            "ready_at": now,
        }

        async def work(db: Writer) -> bool:
            if not await repository.change(op, db, snapshot, changes):
                return False
            if snapshot.purpose is Purpose.TERMINATION:
                reason = f"ended once its snapshot {snapshot.id} was ready"
                await bunkers.desire(
                    op, db, snapshot.bunker_id, Desired.TERMINATED, reason, while_in=_STANDING
                )
            return True

        if await self._database.transaction(work):
            self._over(snapshot, "ready")
            if worker is not None:
                await self._forget(worker, snapshot.id)
        return True

    async def _fail(
        self, op: Operation, snapshot: Snapshot, worker: Worker | None, reason: str | None
    ) -> bool:
        """Say so; what is left of it is cleared in the next step."""
        changes = {
            "status": SnapshotStatus.FAILED.value,
            "status_reason": reason,
            "phase": None,
            "moved_at": op.now(),
        }
        if await self._write(op, snapshot, changes):
            log.warning("snapshot failed", snapshot_id=snapshot.id, reason=reason)
            self._over(snapshot, "failed")
            if worker is not None:
                await self._forget(worker, snapshot.id)
        return True

    def _over(self, snapshot: Snapshot, outcome: str) -> None:
        took_s = (self._clock.now() - snapshot.created_at).total_seconds()
        self._metrics.snapshot_seconds.labels(snapshot.kind.value, outcome).observe(took_s)
        log.info("snapshot is over", snapshot_id=snapshot.id, outcome=outcome)
        self._hint_bunker(snapshot.bunker_id)

    async def _write(self, op: Operation, snapshot: Snapshot, changes: Mapping[str, Any]) -> bool:
        async def work(db: Writer) -> bool:
            return await repository.change(op, db, snapshot, changes)

        return await self._database.transaction(work)

    async def _forget_at(self, op: Operation, worker_id: str, snapshot_id: str) -> None:
        """A worker names one that it need not know, or must not make."""
        async with self._database.read() as db:
            worker = await workers.get(op, db, worker_id)
        if worker is not None:
            await self._forget(worker, snapshot_id)

    async def _forget(self, worker: Worker, snapshot_id: str) -> None:
        """Have its worker give it up and forget it; said again when it is heard to know it still."""
        try:
            await self._client.forget_snapshot(worker.address, snapshot_id)
        except (WorkerUnreachable, WorkerRefused) as error:
            log.warning("snapshot not forgotten", snapshot_id=snapshot_id, error=repr(error))
            return
        self._sightings.forget(worker.id, snapshot_id)
