"""Putting a bunker to sleep: it is frozen, copied with its memory, and let go of once the copy is stored.

Each step is written as the row was read. Until the last one the machine is there, frozen, so that whatever goes
wrong in between, nothing of it is lost: it goes on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import Bunker, Desired
from scaibunker.controller.bunkers.lifecycle import Event, State
from scaibunker.controller.bunkers.states import States
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.domain import KEPT_ASLEEP, Claim, kept_asleep
from scaibunker.controller.quotas.ledger import Ledger
from scaibunker.controller.settings import ReconcileSettings
from scaibunker.controller.snapshots import repository as snapshots
from scaibunker.controller.snapshots.domain import Purpose, Snapshot
from scaibunker.controller.snapshots.take import draft
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.domain import Worker
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.wire.api.snapshots import SnapshotKind
from scaigrid.db import Database, Writer
from scaigrid.ids import new_id
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)


class Sleep:
    """The steps. `hint_snapshot` tells the snapshots' reconciler of one that needs it."""

    def __init__(
        self,
        database: Database,
        states: States,
        ledger: Ledger,
        client: WorkerClient,
        settings: ReconcileSettings,
        metrics: ControllerMetrics,
        hint_snapshot: Callable[[str], None],
    ) -> None:
        self._database = database
        self._states = states
        self._ledger = ledger
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._hint_snapshot = hint_snapshot

    async def want(self, op: Operation, bunker: Bunker, reason: str | None) -> bool:
        """It is to sleep; returns False if it was used or changed since it was read."""

        async def work(db: Writer) -> bool:
            return await repository.want_asleep(op, db, bunker, reason)

        return await self._database.transaction(work)

    async def copy(self, op: Operation, bunker: Bunker) -> None:
        """Begin the snapshot in which it is to sleep, of a machine that is frozen."""
        snapshot_id = new_id("snp")
        snapshot = draft(
            op, snapshot_id, bunker, kind=SnapshotKind.FULL, purpose=Purpose.PASSIVATION
        )

        async def work(db: Writer) -> bool:
            base_id = await self._base(op, db, bunker)
            moved = await self._states.write(
                op,
                db,
                bunker,
                Event.SNAPSHOT_OF_PAUSED,
                bunker.desired_reason,
                capturing_snapshot_id=snapshot_id,
                captured_from=State.PAUSED.value,
                passive_snapshot_id=snapshot_id,
            )
            if moved:
                await snapshots.add(op, db, replace(snapshot, base_snapshot_id=base_id))
            return moved

        if await self._database.transaction(work):
            await self._states.tell(bunker, Event.SNAPSHOT_OF_PAUSED, bunker.desired_reason)
            self._hint_snapshot(snapshot_id)

    async def _base(self, op: Operation, db: Writer, bunker: Bunker) -> str | None:
        """What its copy may hold the differences to. After a failure it is whole: whatever was wrong, it must
        not rest upon that for ever."""
        if bunker.passivate_after is not None:
            return None
        return await snapshots.base_for(op, db, bunker)

    async def release(self, op: Operation, bunker: Bunker, worker: Worker | None) -> None:
        """The snapshot is stored: its place, and its quota but for its disk and that it is there, are free.
        Then its machine is removed; if that fails its worker is told at its next heartbeat."""
        reason = f"passivated: {bunker.desired_reason}"

        async def work(db: Writer) -> Claim | None:
            if not await repository.passivate(op, db, bunker, reason):
                return None
            return await rest_asleep(op, db, bunker.id)

        left = await self._database.transaction(work)
        if left is None:
            return
        self._metrics.passivations.labels("passivated").inc()
        await self._ledger.let_go_of(op, left, bunker.revision + 1)
        log.info("bunker passivated", bunker_id=bunker.id, reason=bunker.desired_reason)
        self._states.notify(bunker.id)
        if bunker.base_snapshot_id is not None:
            self._hint_snapshot(bunker.base_snapshot_id)  # its copy may not rest upon it
        if worker is not None:
            await remove_machine(self._client, worker, bunker.id)

    async def abandon(
        self, op: Operation, bunker: Bunker, copy: Snapshot | None, reason: str | None
    ) -> None:
        """There is no copy that it could sleep in, or it is not to sleep any more: it is what it was wanted
        to be before. Its worker knows a copy that is ready as the last."""
        failed = bunker.desired is Desired.PASSIVATED
        changes: dict[str, object] = {"passive_snapshot_id": None, "passivated_from": None}
        if copy is not None and copy.is_usable and copy.id == bunker.passive_snapshot_id:
            changes["base_snapshot_id"] = copy.id
        if failed:
            changes |= {
                "desired": (bunker.passivated_from or Desired.RUNNING).value,
                "desired_reason": None,
                "passivate_after": op.now() + timedelta(seconds=self._settings.passivation_retry_s),
                "status_reason": f"it was not passivated: {reason}",
            }

        async def work(db: Writer) -> bool:
            if not await repository.change(op, db, bunker, **changes):
                return False
            if bunker.passive_snapshot_id is not None:
                await snapshots.discard(op, db, bunker.passive_snapshot_id)
            return True

        if await self._database.transaction(work):
            log.info("bunker stays awake", bunker_id=bunker.id, reason=reason)
            if failed:
                self._metrics.passivations.labels("failed").inc()
            for snapshot_id in bunker.own_snapshots:
                self._hint_snapshot(snapshot_id)

    async def call_off(self, op: Operation, snapshot_id: str) -> None:
        """Somebody wants the bunker awake: the copy that is being made is given up."""

        async def work(db: Writer) -> None:
            await snapshots.discard(op, db, snapshot_id)

        await self._database.transaction(work)
        self._hint_snapshot(snapshot_id)


async def rest_asleep(op: Operation, db: Writer, bunker_id: str) -> Claim:
    """Write that a bunker holds what one holds that sleeps; returns that, for the counters."""
    left = kept_asleep(bunker_id, await holds.of_bunker(op, db, bunker_id))
    await holds.keep(op, db, bunker_id, KEPT_ASLEEP)
    return left


async def remove_machine(client: WorkerClient, worker: Worker, bunker_id: str) -> bool:
    """Take down what a worker has of a bunker that is not its any more; returns whether that was done. If
    not, its heartbeat's answer says so."""
    try:
        await client.remove(worker.address, bunker_id)
    except (WorkerRefused, WorkerUnreachable) as error:
        log.warning("machine not removed", bunker_id=bunker_id, error=repr(error))
        return False
    return True
