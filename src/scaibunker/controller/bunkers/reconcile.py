"""Bringing bunkers to where they should be: asks `decide` for a step, does it, asks again.

Takes no input but the database and what workers say; is run on a hint and on a timer; can be
killed between any two lines. No step holds a transaction over a request to a worker.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import structlog

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.activity import GRACE, Activity
from scaibunker.controller.bunkers.decide import Act, Situation, Step, decide
from scaibunker.controller.bunkers.domain import Bunker
from scaibunker.controller.bunkers.lifecycle import Event, State
from scaibunker.controller.bunkers.networks import order_of
from scaibunker.controller.bunkers.revisions import Revisions
from scaibunker.controller.bunkers.states import MovedMeanwhile, States
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.passivation.domain import why_asleep
from scaibunker.controller.passivation.sleep import Sleep
from scaibunker.controller.passivation.wake import Wake, source_of
from scaibunker.controller.scheduler.domain import Demand, Place
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.scheduler.placement import Placement
from scaibunker.controller.settings import ReconcileSettings
from scaibunker.controller.snapshots import repository as snapshots
from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.domain import Presence, Worker
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.controller.workers.fleet import Absence, Fleet, Sight
from scaibunker.controller.worklist import Worklist
from scaibunker.wire.worker.machines import MachineSpec, MachineStatus, PowerRequest
from scaibunker.wire.worker.snapshots import SnapshotSource
from scaigrid import logs
from scaigrid.clock import Clock
from scaigrid.db import Database, Writer
from scaigrid.loops import forever
from scaigrid.operation import Operation, system_operation

log = structlog.get_logger(__name__)

MAX_PLACEMENTS = 3
"""Workers that may try to build one bunker."""
ASK_S = 3.0
"""Seconds for an answer to a worker that has taken no order: two orders have been waited for already,
and its bunker is to go elsewhere, or to fail, within 30 s."""
MAX_STEPS = 12
"""Steps in one pass; more means that two of them undo each other, and the timer may try again."""
_UNKNOWN = Sight(Absence.UNKNOWN, 0.0)


class Reconciler:
    """The loop, and one bunker's pass."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: ReconcileSettings,
        *,
        states: States,
        activity: Activity,
        placement: Placement,
        presence: Presence,
        fleet: Fleet,
        client: WorkerClient,
        metrics: ControllerMetrics,
        sleep: Sleep,
        wake: Wake,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._states = states
        self._activity = activity
        self._placement = placement
        self._presence = presence
        self._fleet = fleet
        self._client = client
        self._metrics = metrics
        self._sleep = sleep
        self._wake = wake
        self._revisions = Revisions(clock)
        self._worklist = Worklist(self._settle, settings.reconcile_concurrency)

    def hint(self, bunker_id: str) -> None:
        """A bunker may need work."""
        self._worklist.hint(bunker_id)

    @property
    def at_work(self) -> Collection[str]:
        """Bunkers that are being looked at, or wait for it."""
        return self._worklist.at_work

    async def run(self) -> None:
        """Look for work from time to time, for ever."""
        await forever("reconciler", self._look_for_work, self._settings.reconcile_interval_s)

    async def close(self) -> None:
        """Break off all passes; what they were doing is found again."""
        await self._worklist.close()

    async def _look_for_work(self) -> None:
        for bunker_id in await self._unsettled():
            self.hint(bunker_id)

    async def _unsettled(self) -> Sequence[str]:
        op = self._op()
        async with self._database.read() as db:
            found = await repository.unsettled(op, db)
            limits = await repository.idle_limits(op, db)
            tired = await repository.to_be_asleep(op, db)
        now = op.now()
        idle = (
            bunker_id
            for bunker_id, stored, idle_s in limits
            if self._last_used(bunker_id, stored, now) + timedelta(seconds=idle_s) <= now
        )
        return [*found, *tired, *idle]

    def _op(self) -> Operation:
        return system_operation("reconciler", self._clock)

    async def _settle(self, bunker_id: str) -> None:
        """One pass: steps until there is nothing to do now."""
        logs.of_system("reconciler")
        self._metrics.passes.inc()
        op = self._op()
        for _ in range(MAX_STEPS):
            async with self._database.read() as db:
                bunker = await repository.get(op, db, bunker_id)
                if bunker is None or bunker.is_final:
                    self._revisions.forget(bunker_id)
                    return
                since = self._revisions.read(bunker)
                worker = await workers.get(op, db, bunker.worker_id) if bunker.worker_id else None
                copy_id = bunker.capturing_snapshot_id or bunker.passive_snapshot_id
                copy = await snapshots.find(op, db, copy_id) if copy_id else None
            step = decide(bunker, self._situation(op, bunker, worker, copy, since))
            if step.act is Act.NOTHING:
                return
            try:
                if not await self._do(op, step, bunker, worker, copy):
                    return
            except WorkerUnreachable:
                return  # the timer tries again, until the worker counts as lost

    def _situation(
        self,
        op: Operation,
        bunker: Bunker,
        worker: Worker | None,
        copy: Snapshot | None,
        since: float,
    ) -> Situation:
        now = op.now()
        last_used = self._last_used(bunker.id, bunker.last_activity_at, now)
        return Situation(
            now=now,
            sight=self._fleet.sight(worker.id, bunker.id) if worker else _UNKNOWN,
            known_s=self._clock.monotonic() - since,
            worker_lost=worker is None or self._presence.is_lost(worker, now),
            worker_fit=worker is not None
            and self._presence.is_online(worker, now)
            and not worker.draining,
            overdue=bunker.overdue(now, last_used),
            provision_timeout_s=self._settings.provision_timeout_s,
            order_timeout_s=self._settings.order_timeout_s,
            look_after_s=self._settings.reconcile_interval_s,
            listening_since=self._presence.listening_since(now),
            copied=copy is None or not copy.holds_bunker,
            copy_failure=copy.status_reason if copy else None,
            passivate=why_asleep(
                bunker,
                now,
                last_used,
                worker.emptied_since if worker else None,
                self._settings.passivation_patience_s,
            ),
            copy_ready=copy is not None and copy.is_usable,
            copy_called_off=copy is not None and copy.deleted_at is not None,
        )

    def _last_used(self, bunker_id: str, stored: datetime, now: datetime) -> datetime:
        """The latest moment at which a bunker may have been used, here or at another replica."""
        interrupted_until = self._presence.interrupted_until(now)
        if interrupted_until is not None and now < interrupted_until + GRACE:
            return now  # others have not been able to write for some time
        return self._activity.latest(bunker_id, stored) + GRACE

    async def _do(
        self,
        op: Operation,
        step: Step,
        bunker: Bunker,
        worker: Worker | None,
        copy: Snapshot | None,
    ) -> bool:
        """Do a step; returns whether to ask for the next one at once."""
        match step.act:
            case Act.CHOOSE:
                return await self._choose(op, bunker)
            case Act.EXPIRE:
                return await self._desire_end(op, bunker, step.reason)
            case Act.END:
                await self._states.move(op, bunker, Event.TERMINATED, step.reason)
                return False
            case Act.FAIL:
                await self._fail(op, bunker, worker, step.reason)
                return False
            case Act.PASSIVATE:
                return await self._sleep.want(op, bunker, step.reason)
            case Act.RELEASE:
                await self._sleep.release(op, bunker, worker)
                return True
            case Act.ABANDON:
                await self._sleep.abandon(op, bunker, copy, step.reason)
                return True
            case Act.CALL_OFF if copy is not None:
                await self._sleep.call_off(op, copy.id)
                return True
            case Act.WAKE:
                return await self._wake.place(op, bunker, copy)
        if worker is None:
            raise LookupError(f"{step.act} without a worker")
        match step.act:
            case Act.PLACE:
                await self._states.move(op, bunker, Event.PLACED, placed_at=op.now())
            case Act.UNPLACE:
                await self._states.move(
                    op,
                    bunker,
                    Event.WORKER_LOST,
                    step.reason,
                    worker_id=None,
                    gpu_type_held=None,
                    placed_at=None,
                )
            case Act.START:
                await self._states.move(
                    op, bunker, Event.READY, started_at=op.now(), last_activity_at=op.now()
                )
            case Act.PAUSED:
                await self._states.move(op, bunker, Event.PAUSED, _kept_reason(op, bunker))
            case Act.RESUMED:
                await self._states.move(op, bunker, Event.RESUMED, _kept_reason(op, bunker))
            case Act.COPY:
                await self._sleep.copy(op, bunker)
            case Act.CLEAR:
                return await self._wake.clear(op, bunker, worker)
            case Act.WOKEN:
                await self._wake.woken(op, bunker, copy)
            case Act.RETURN:
                await self._return(op, bunker, step.reason)
            case Act.ORDER:
                return await self._order(op, bunker, worker, copy)
            case Act.PAUSE | Act.RESUME:
                return await self._power(bunker, worker, step.act)
            case Act.LOOK:
                await self._look(bunker, worker)
            case Act.REPLACE:
                seen = self._fleet.sight(worker.id, bunker.id).machine
                code = seen.reason_code if isinstance(seen, MachineStatus) else None
                return await self._replace(op, bunker, worker, step.reason, code)
            case Act.REORDER:
                return await self._reorder(op, bunker, worker, copy, step.reason)
            case Act.REMOVE:
                return await self._remove(op, bunker, worker, step.reason)
        return True

    async def _choose(self, op: Operation, bunker: Bunker) -> bool:
        """Hold a place on another worker, or leave it for the timer."""

        async def write(db: Writer, place: Place) -> None:
            if not await repository.assign(op, db, bunker, place.worker_id, place.gpu_type):
                raise MovedMeanwhile

        async def without(db: Writer) -> bool:
            return await repository.assign(op, db, bunker, None)

        try:
            await self._placement.place(op, _demand(bunker, bunker.refused_by), write)
        except MovedMeanwhile:
            return True  # another replica has moved it: look again
        except (WorkerUnavailable, NoSuitableWorker):
            if bunker.worker_id is not None:
                await self._database.transaction(without)
            return False
        return True

    async def _replace(
        self,
        op: Operation,
        bunker: Bunker,
        worker: Worker,
        reason: str | None,
        code: str | None = None,
    ) -> bool:
        """Give a bunker that its worker cannot build to another one, or let it fail."""
        if await self._take_elsewhere(op, bunker, worker, reason, code):
            return True
        await self._fail(op, bunker, worker, reason)
        return False

    async def _reorder(
        self,
        op: Operation,
        bunker: Bunker,
        worker: Worker,
        copy: Snapshot | None,
        reason: str | None,
    ) -> bool:
        """The worker has not been heard to build it for too long. What this replica has not heard,
        another may have: so look, before it goes elsewhere. With no other worker, one that answers
        is asked until the time for provisioning is over."""
        try:
            await self._look(bunker, worker, ASK_S)
            if isinstance(self._fleet.sight(worker.id, bunker.id).machine, MachineStatus):
                return True
            if await self._take_elsewhere(op, bunker, worker, reason):
                return True
            return await self._order(op, bunker, worker, copy)
        except WorkerUnreachable:
            return await self._replace(op, bunker, worker, reason)

    async def _take_elsewhere(
        self,
        op: Operation,
        bunker: Bunker,
        worker: Worker,
        reason: str | None,
        code: str | None = None,
    ) -> bool:
        """Give a bunker to another worker, if there is one that can take it and has not failed
        yet. Nothing has run in it so far, so that nothing is lost; what the first worker may still
        have of it, it takes down when it reports."""
        if bunker.passivated:
            return await self._wake.elsewhere(op, bunker, worker, reason, code)
        refused_by = [*bunker.refused_by, worker.id]

        async def write(db: Writer, place: Place) -> None:
            moved = await self._states.write(
                op,
                db,
                bunker,
                Event.BUILD_FAILED,
                reason,
                worker_id=place.worker_id,
                gpu_type_held=place.gpu_type,
                placed_at=None,
                refused_by=refused_by,
            )
            if not moved:
                raise MovedMeanwhile

        try:
            if len(refused_by) >= MAX_PLACEMENTS:
                return False
            await self._placement.place(op, _demand(bunker, refused_by), write)
        except MovedMeanwhile:
            return True
        except (WorkerUnavailable, NoSuitableWorker):
            return False
        await self._states.tell(bunker, Event.BUILD_FAILED, reason)
        return True

    async def _return(self, op: Operation, bunker: Bunker, reason: str | None) -> None:
        """It has stood still for a copy, and is again what it was."""
        was_paused = bunker.captured_from is State.PAUSED
        event = Event.SNAPSHOT_DONE_PAUSED if was_paused else Event.SNAPSHOT_DONE_RUNNING
        changes: dict[str, object] = {"capturing_snapshot_id": None, "captured_from": None}
        if bunker.capturing_snapshot_id != bunker.passive_snapshot_id:
            changes["last_activity_at"] = op.now()  # nobody could use it meanwhile: it was not idle
        await self._states.move(op, bunker, event, reason, **changes)

    async def _desire_end(self, op: Operation, bunker: Bunker, reason: str | None) -> bool:

        async def work(db: Writer) -> bool:
            return await repository.expire(op, db, bunker, reason)

        return await self._database.transaction(work)

    async def _order(
        self, op: Operation, bunker: Bunker, worker: Worker, copy: Snapshot | None
    ) -> bool:
        spec = MachineSpec(
            bunker_id=bunker.id,
            tenant_id=bunker.tenant_id,
            image_sha256=bunker.image.sha256,
            image_size=bunker.image.size_bytes,
            cpu_millicores=bunker.shape.cpu_millicores,
            memory_mb=bunker.shape.memory_mb,
            disk_mb=bunker.shape.disk_mb,
            network=order_of(bunker.network),
            hostname=bunker.hostname,
            env=dict(bunker.env),
            snapshot=source_of(bunker, copy) if bunker.passivated else _source(bunker),
        )
        asked_at = self._clock.monotonic()
        try:
            status = await self._client.order(worker.address, spec)
        except WorkerRefused as refusal:
            log.warning("worker refused a machine", bunker_id=bunker.id, error=str(refusal))
            if refusal.status >= 500:
                return False
            return await self._replace(
                op,
                bunker,
                worker,
                f"its worker refused it: {refusal.message[:500]}",
                refusal.code,
            )
        self._fleet.observe(worker.id, bunker.id, status, asked_at)
        return True

    async def _power(self, bunker: Bunker, worker: Worker, act: Act) -> bool:
        request = PowerRequest(state="paused" if act is Act.PAUSE else "running")
        asked_at = self._clock.monotonic()
        try:
            status = await self._client.power(worker.address, bunker.id, request)
        except WorkerRefused as refusal:
            log.warning("worker refused", bunker_id=bunker.id, act=act.value, error=str(refusal))
            await self._look(bunker, worker)  # what it really is decides what happens next
            return False
        self._fleet.observe(worker.id, bunker.id, status, asked_at)
        return True

    async def _look(self, bunker: Bunker, worker: Worker, within_s: float | None = None) -> None:
        asked_at = self._clock.monotonic()
        try:
            status = await self._client.machine(worker.address, bunker.id, within_s)
        except WorkerRefused as refusal:
            log.warning("worker refused a look", bunker_id=bunker.id, error=str(refusal))
            raise WorkerUnreachable from None
        self._fleet.observe(worker.id, bunker.id, status, asked_at)

    async def _remove(
        self, op: Operation, bunker: Bunker, worker: Worker, reason: str | None
    ) -> bool:
        asked_at = self._clock.monotonic()
        try:
            await self._client.remove(worker.address, bunker.id)
        except WorkerRefused as refusal:
            log.warning("worker refused to remove", bunker_id=bunker.id, error=str(refusal))
            return False
        self._fleet.observe(worker.id, bunker.id, None, asked_at)
        await self._states.move(op, bunker, Event.TERMINATED, reason)
        return False

    async def _fail(
        self, op: Operation, bunker: Bunker, worker: Worker | None, reason: str | None
    ) -> None:
        """Say so first, then clear the worker: it is told again by its next heartbeat if this
        does not reach it."""
        if await self._states.move(op, bunker, Event.FAILED, reason) and worker:
            try:
                await self._client.remove(worker.address, bunker.id)
            except (WorkerRefused, WorkerUnreachable) as error:
                log.warning("failed machine not removed", bunker_id=bunker.id, error=repr(error))


def _source(bunker: Bunker) -> SnapshotSource | None:
    if bunker.source is None:
        return None
    return SnapshotSource(
        snapshot_id=bunker.source.snapshot_id,
        kind=bunker.source.kind.value,
        manifest_sha256=bunker.source.manifest_sha256,
    )


def _kept_reason(op: Operation, bunker: Bunker) -> str | None:
    """Why it was not passivated is said until that may be tried again, whatever it is meanwhile."""
    after = bunker.passivate_after
    return bunker.status_reason if after is not None and op.now() < after else None


def _demand(bunker: Bunker, refused_by: Sequence[str]) -> Demand:
    return Demand(
        bunker.shape,
        bunker.network.profile.value,
        bunker.image.sha256,
        refused_by=frozenset(refused_by),
        only=bunker.network.bound_to,
    )
