"""Waking a bunker that is passivated: its quota, a place, its machine made of the snapshot, and it runs.

Somebody has written that it is wanted (`awake`). Each step is written as the row was read; what a wake holds
that is given up, is given back in the step that says so. Until the machine runs the bunker sleeps: its
snapshot stays, and nothing that fails here loses it.
"""

from collections.abc import Callable
from datetime import timedelta

import structlog

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import Bunker, Desired, WakeKind
from scaibunker.controller.bunkers.errors import BunkerNotRunning
from scaibunker.controller.bunkers.lifecycle import Event
from scaibunker.controller.bunkers.states import MovedMeanwhile, States
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.objects.errors import StorageUnavailable
from scaibunker.controller.passivation import refusals
from scaibunker.controller.passivation.sleep import remove_machine, rest_asleep
from scaibunker.controller.quotas.applicable import applicable
from scaibunker.controller.quotas.domain import (
    Applied,
    Claim,
    Profile,
    amounts_of,
    claim,
    user_bucket,
)
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.quotas.ledger import Ledger, StaleHold
from scaibunker.controller.relay import overdue
from scaibunker.controller.scheduler.domain import Demand, Place
from scaibunker.controller.scheduler.errors import (
    EveryWorkerFailed,
    NoSuitableWorker,
    WorkerUnavailable,
)
from scaibunker.controller.scheduler.placement import Placement
from scaibunker.controller.settings import ReconcileSettings
from scaibunker.controller.snapshots import repository as snapshots
from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.domain import Worker
from scaibunker.wire.codes import Code
from scaibunker.wire.worker.snapshots import SnapshotSource
from scaigrid.db import Database, Writer
from scaigrid.errors import GridError
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

HOLDS = 5
"""How often a wake holds its quota at most; each time after the first the counters were made anew."""
MAX_WORKERS = 3
"""Workers that may fail to build one bunker in one wake, with its memory or without."""
MAX_UNFIT = 32
"""Workers that may say that they cannot have its memory. It costs them nothing, and what is given up after
that is not made again."""
GONE = "its memory could not be restored on any worker, so that it was booted from its disk: its processes are gone"


class Wake:
    """The steps. `hint_snapshot` tells the snapshots' reconciler of one that is not needed any more."""

    def __init__(
        self,
        database: Database,
        states: States,
        ledger: Ledger,
        placement: Placement,
        client: WorkerClient,
        settings: ReconcileSettings,
        maximum: Profile | None,
        metrics: ControllerMetrics,
        hint_snapshot: Callable[[str], None],
    ) -> None:
        self._database = database
        self._states = states
        self._ledger = ledger
        self._placement = placement
        self._client = client
        self._settings = settings
        self._maximum = maximum
        self._metrics = metrics
        self._hint_snapshot = hint_snapshot

    async def place(self, op: Operation, bunker: Bunker, snapshot: Snapshot | None) -> bool:
        """Hold its quota and a place on a worker, both or none; returns whether to look again at once."""
        if snapshot is None or not snapshot.is_usable:
            why = "the snapshot that it sleeps in is gone"
            return await self.refuse(op, bunker, _not_woken(why))
        try:
            for _ in range(HOLDS):
                try:
                    return await self._hold_and_place(op, bunker)
                except StaleHold:
                    continue
            return False
        except BunkerQuotaExceeded as error:
            return await self.refuse(op, bunker, error)
        except EveryWorkerFailed as error:
            return await self._without_memory(op, bunker, error)
        except (WorkerUnavailable, NoSuitableWorker) as error:
            if bunker.waking_since is None:
                return await self._begin(op, bunker)
            if op.now() < bunker.waking_since + timedelta(seconds=self._settings.wake_placement_s):
                return False  # a place may become free in a moment
            return await self.refuse(op, bunker, error)

    async def _begin(self, op: Operation, bunker: Bunker) -> bool:
        """It was wanted to run just when it fell asleep, and its wake begins now."""

        async def work(db: Writer) -> bool:
            return await repository.change(op, db, bunker, waking_since=op.now(), wake_refusal=None)

        return await self._database.transaction(work)

    async def _hold_and_place(self, op: Operation, bunker: Bunker) -> bool:
        wanted = await self._claim(op, bunker)
        hold = await self._ledger.hold_instead(op, wanted, bunker.revision)

        async def write(db: Writer, place: Place) -> None:
            if not await repository.change(
                op,
                db,
                bunker,
                worker_id=place.worker_id,
                gpu_type_held=place.gpu_type,
                placed_at=None,
            ):
                raise MovedMeanwhile
            await self._ledger.write_instead(op, db, wanted, hold)

        demand = Demand(
            bunker.shape,
            bunker.network.profile.value,
            bunker.image.sha256,
            refused_by=frozenset(bunker.refused_by),
        )
        try:
            if len(bunker.refused_by) >= _most_workers(bunker):
                raise EveryWorkerFailed
            await self._placement.place(op, demand, write)
        except StaleHold:
            await self._ledger.distrust(op, hold)
            raise
        except MovedMeanwhile:
            await self._settle(op, bunker.id)
        return True

    async def _claim(self, op: Operation, bunker: Bunker) -> Claim:
        async with self._database.read() as db:
            applied = await applicable(op, db, bunker.owner_user_id)
        if self._maximum is not None:
            applied = [*applied, Applied(self._maximum, user_bucket(bunker.owner_user_id))]
        amounts = amounts_of(bunker.shape, persistent=True)
        return claim(bunker.id, bunker.owner_user_id, amounts, applied)

    async def _settle(self, op: Operation, bunker_id: str) -> None:
        """The row has moved on. If it has ended, nothing is held; else whoever moved it tells of it."""
        async with self._database.read() as db:
            now = await repository.get(op, db, bunker_id)
        if now is None or now.is_final:
            await self._ledger.let_go(bunker_id)

    async def clear(self, op: Operation, bunker: Bunker, worker: Worker) -> bool:
        """Before its machine is ordered: its worker has none of an earlier time, and what is seen of one from
        now on is this one's. Returns whether that is so."""
        if not await remove_machine(self._client, worker, bunker.id):
            return False

        async def work(db: Writer) -> bool:
            return await repository.change(op, db, bunker, placed_at=op.now())

        await self._database.transaction(work)
        return True

    async def elsewhere(
        self, op: Operation, bunker: Bunker, worker: Worker, reason: str | None, code: str | None
    ) -> bool:
        """Its worker cannot make its machine: another one may. Its quota stays held."""
        log.warning("bunker not woken", bunker_id=bunker.id, worker_id=worker.id, reason=reason)
        kind = _kind_after(bunker, code)
        error = _storage_away(reason) if code == Code.STORAGE_UNAVAILABLE else _not_woken(reason)

        async def work(db: Writer) -> bool:
            moved = await repository.change(
                op,
                db,
                bunker,
                worker_id=None,
                gpu_type_held=None,
                placed_at=None,
                refused_by=[*bunker.refused_by, worker.id],
                wake_kind=kind.value,
                wake_refusal=refusals.written(error),
            )
            if moved:
                await repository.leave(op, db, bunker)
            return moved

        if await self._database.transaction(work):
            await remove_machine(self._client, worker, bunker.id)
        return True

    async def _without_memory(self, op: Operation, bunker: Bunker, error: GridError) -> bool:
        """No worker is left that might wake it as it is."""
        if bunker.wake_kind is WakeKind.ELSEWHERE:
            log.warning("bunker is woken without its memory", bunker_id=bunker.id)

            async def work(db: Writer) -> bool:
                return await repository.change(
                    op, db, bunker, wake_kind=WakeKind.DISK.value, refused_by=None
                )

            await self._database.transaction(work)
            return True
        known = bunker.wake_refusal
        return await self.refuse(op, bunker, refusals.read(known) if known else error)

    async def refuse(self, op: Operation, bunker: Bunker, error: GridError) -> bool:
        """It sleeps on, and whoever waits for it is told why. What it held for this is given back."""

        async def work(db: Writer) -> Claim | None:
            moved = await repository.change(
                op,
                db,
                bunker,
                desired=Desired.PASSIVATED.value,
                worker_id=None,
                gpu_type_held=None,
                placed_at=None,
                refused_by=None,
                waking_since=None,
                wake_kind=None,
                wake_refusal=refusals.written(error),
                status_reason=f"passivated, and not woken: {error.message}"[:2000],
            )
            if not moved:
                return None
            await repository.leave(op, db, bunker)
            return await rest_asleep(op, db, bunker.id)

        left = await self._database.transaction(work)
        if left is None:
            await self._settle(op, bunker.id)
            return True
        log.info("bunker sleeps on", bunker_id=bunker.id, code=error.code, reason=error.message)
        self._metrics.wakes.labels("refused").inc()
        await self._ledger.let_go_of(op, left, bunker.revision + 1)
        self._states.notify(bunker.id)
        return False

    async def woken(self, op: Operation, bunker: Bunker, snapshot: Snapshot | None) -> None:
        """It runs. The snapshot that it slept in is of the past, but for its disk, which the next one may rest
        upon."""
        now = op.now()
        lifetime_s = bunker.limits.max_lifetime_s
        lost = bunker.wake_kind is WakeKind.DISK
        reason = GONE if lost else None

        async def work(db: Writer) -> bool:
            moved = await self._states.write(
                op,
                db,
                bunker,
                Event.RESUMED,
                reason,
                passivated=False,
                passive_snapshot_id=None,
                base_snapshot_id=bunker.passive_snapshot_id,
                passivated_from=None,
                passivate_after=None,
                waking_since=None,
                wake_kind=None,
                wake_refusal=None,
                refused_by=None,
                last_activity_at=now,
                expires_at=now + timedelta(seconds=lifetime_s) if lifetime_s else None,
            )
            if not moved:
                return False
            if bunker.passive_snapshot_id is not None:
                await snapshots.discard(op, db, bunker.passive_snapshot_id)
            if lost:
                await overdue.lose_all(op, db, bunker.id, GONE)
            elif snapshot is not None:
                await overdue.put_off(op, db, bunker.id, now - snapshot.created_at)
            return True

        if not await self._database.transaction(work):
            return
        took_s = (now - (bunker.waking_since or now)).total_seconds()
        self._metrics.wakes.labels("without_memory" if lost else "woken").inc()
        self._metrics.wake_seconds.observe(took_s)
        await self._states.tell(bunker, Event.RESUMED, reason)
        if bunker.passive_snapshot_id is not None:
            self._hint_snapshot(bunker.passive_snapshot_id)


def source_of(bunker: Bunker, snapshot: Snapshot | None) -> SnapshotSource | None:
    """What the machine of a bunker that wakes is made of."""
    if snapshot is None or snapshot.manifest_sha256 is None:
        return None
    whole = bunker.wake_kind is not WakeKind.DISK
    return SnapshotSource(
        snapshot_id=snapshot.id,
        kind="full" if whole else "disk",
        manifest_sha256=snapshot.manifest_sha256,
        keep_execs=whole,
    )


def _kind_after(bunker: Bunker, code: str | None) -> WakeKind:
    """How it is to be woken after one more worker could not. Its memory is given up only if no worker can have
    it: one that failed for another reason may be the one that can, the next time."""
    if bunker.wake_kind is WakeKind.DISK:
        return WakeKind.DISK
    so_far = not bunker.refused_by or bunker.wake_kind is WakeKind.ELSEWHERE
    unfit = code == Code.SNAPSHOT_INCOMPATIBLE
    return WakeKind.ELSEWHERE if so_far and unfit else WakeKind.FULL


def _most_workers(bunker: Bunker) -> int:
    return MAX_UNFIT if bunker.wake_kind is WakeKind.ELSEWHERE else MAX_WORKERS


def _not_woken(reason: str | None) -> GridError:
    return BunkerNotRunning(
        f"The bunker is passivated, and could not be woken: {(reason or 'no worker could')[:1000]}",
        hint="Nothing of it is lost. Try again later, or tell the operator.",
    )


def _storage_away(reason: str | None) -> GridError:
    return StorageUnavailable(
        f"The bunker is passivated, and its snapshot cannot be read: {(reason or '')[:1000]}",
        retry_after=10,
    )
