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
from scaibunker.controller.bunkers.lifecycle import Event
from scaibunker.controller.bunkers.revisions import Revisions
from scaibunker.controller.bunkers.states import States
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.scheduler.domain import Demand, Place
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.scheduler.placement import Placement
from scaibunker.controller.settings import ReconcileSettings
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.domain import Presence, Worker
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.controller.workers.fleet import Absence, Fleet, Sight
from scaibunker.controller.worklist import Worklist
from scaibunker.wire.worker.machines import MachineSpec, PowerRequest
from scaigrid import logs
from scaigrid.clock import Clock
from scaigrid.db import Database, Writer
from scaigrid.loops import forever
from scaigrid.operation import Operation, system_operation

log = structlog.get_logger(__name__)

MAX_PLACEMENTS = 3
"""Workers that may try to build one bunker."""
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
        now = op.now()
        idle = (
            bunker_id
            for bunker_id, stored, idle_s in limits
            if self._last_used(bunker_id, stored, now) + timedelta(seconds=idle_s) <= now
        )
        return [*found, *idle]

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
            step = decide(bunker, self._situation(op, bunker, worker, since))
            if step.act is Act.NOTHING:
                return
            try:
                if not await self._do(op, step, bunker, worker):
                    return
            except WorkerUnreachable:
                return  # the timer tries again, until the worker counts as lost

    def _situation(
        self, op: Operation, bunker: Bunker, worker: Worker | None, since: float
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
        )

    def _last_used(self, bunker_id: str, stored: datetime, now: datetime) -> datetime:
        """The latest moment at which a bunker may have been used, here or at another replica."""
        interrupted_until = self._presence.interrupted_until(now)
        if interrupted_until is not None and now < interrupted_until + GRACE:
            return now  # others have not been able to write for some time
        return self._activity.latest(bunker_id, stored) + GRACE

    async def _do(self, op: Operation, step: Step, bunker: Bunker, worker: Worker | None) -> bool:
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
                await self._states.move(op, bunker, Event.PAUSED)
            case Act.RESUMED:
                await self._states.move(op, bunker, Event.RESUMED)
            case Act.ORDER:
                return await self._order(op, bunker, worker)
            case Act.PAUSE | Act.RESUME:
                return await self._power(bunker, worker, step.act)
            case Act.LOOK:
                await self._look(bunker, worker)
            case Act.REPLACE:
                return await self._replace(op, bunker, worker, step.reason)
            case Act.REMOVE:
                return await self._remove(op, bunker, worker, step.reason)
        return True

    async def _choose(self, op: Operation, bunker: Bunker) -> bool:
        """Hold a place on another worker, or leave it for the timer."""

        async def write(db: Writer, place: Place) -> None:
            if not await repository.assign(op, db, bunker, place.worker_id, place.gpu_type):
                raise _MovedMeanwhile

        async def without(db: Writer) -> bool:
            return await repository.assign(op, db, bunker, None)

        try:
            await self._placement.place(op, _demand(bunker, bunker.refused_by), write)
        except _MovedMeanwhile:
            return True  # another replica has moved it: look again
        except (WorkerUnavailable, NoSuitableWorker):
            if bunker.worker_id is not None:
                await self._database.transaction(without)
            return False
        return True

    async def _replace(
        self, op: Operation, bunker: Bunker, worker: Worker, reason: str | None
    ) -> bool:
        """Give a bunker that its worker cannot build to another one, if there is one that can take
        it and has not failed yet. Nothing has run in it so far, so that nothing is lost; what the
        first worker may still have of it, it takes down when it reports."""
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
                raise _MovedMeanwhile

        try:
            if len(refused_by) >= MAX_PLACEMENTS:
                raise WorkerUnavailable
            await self._placement.place(op, _demand(bunker, refused_by), write)
        except _MovedMeanwhile:
            return True
        except (WorkerUnavailable, NoSuitableWorker):
            await self._fail(op, bunker, worker, reason)
            return False
        await self._states.tell(bunker, Event.BUILD_FAILED, reason)
        return True

    async def _desire_end(self, op: Operation, bunker: Bunker, reason: str | None) -> bool:

        async def work(db: Writer) -> bool:
            return await repository.expire(op, db, bunker, reason)

        return await self._database.transaction(work)

    async def _order(self, op: Operation, bunker: Bunker, worker: Worker) -> bool:
        spec = MachineSpec(
            bunker_id=bunker.id,
            tenant_id=bunker.tenant_id,
            image_sha256=bunker.image.sha256,
            image_size=bunker.image.size_bytes,
            cpu_millicores=bunker.shape.cpu_millicores,
            memory_mb=bunker.shape.memory_mb,
            disk_mb=bunker.shape.disk_mb,
            network_profile=bunker.network.profile.value,
            hostname=bunker.hostname,
            env=dict(bunker.env),
        )
        asked_at = self._clock.monotonic()
        try:
            status = await self._client.order(worker.address, spec)
        except WorkerRefused as refusal:
            log.warning("worker refused a machine", bunker_id=bunker.id, error=str(refusal))
            if refusal.status >= 500:
                return False
            return await self._replace(
                op, bunker, worker, f"its worker refused it: {refusal.message[:500]}"
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

    async def _look(self, bunker: Bunker, worker: Worker) -> None:
        asked_at = self._clock.monotonic()
        try:
            status = await self._client.machine(worker.address, bunker.id)
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


class _MovedMeanwhile(Exception):
    """The row is not what it was read as: nothing of the transaction may stay."""


def _demand(bunker: Bunker, refused_by: Sequence[str]) -> Demand:
    return Demand(
        bunker.shape,
        bunker.network.profile.value,
        bunker.image.sha256,
        refused_by=frozenset(refused_by),
    )
