"""What background workers do for the module: they look for what is overdue, and for silence.

They hold no sightings of machines and place nothing; that is the reconciler's, beside the operations.
What they find they write down as what is wanted, or hint at it.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import structlog

from scaibunker.controller.bunkers import repository as bunkers
from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.quotas.drift import Drift
from scaibunker.controller.relay.domain import ExecState
from scaibunker.controller.relay.overdue import lose_overdue
from scaibunker.controller.snapshots.cleanup import Cleanup
from scaibunker.controller.usage.ticks import UsageTicks
from scaibunker.controller.workers import repository as workers
from scaigrid.db import Database
from scaigrid.live.bus import Bus
from scaigrid.operation import Operation
from scaigrid.tasks.domain import Every, Span, Task

log = structlog.get_logger(__name__)

RECONCILE = "scaibunker.reconcile"
"""Topic of the hints that a bunker may need the reconciler."""
SNAPSHOTS = "scaibunker.snapshots"
"""Topic of the hints that a snapshot may need its reconciler."""
IDLE_MARGIN = timedelta(seconds=10)
"""Uses of the last moment are not in the database yet; the reconciler knows."""


class BackgroundTasks:
    """The module's tasks."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        metrics: ControllerMetrics,
        offline_after_s: float,
        drift: Drift,
        cleanup: Cleanup,
    ) -> None:
        self._drift = drift
        self._cleanup = cleanup
        self._database = database
        self._bus = bus
        self._metrics = metrics
        self._offline_after = timedelta(seconds=offline_after_s)

    def declared(self) -> Sequence[Task]:
        """All of them."""
        return (
            Task("scaibunker.sweep_timeouts", Every(30), self.sweep_timeouts),
            Task("scaibunker.monitor_heartbeats", Every(30), self.monitor_heartbeats),
            self._drift.task("scaibunker"),
            self._cleanup.task("scaibunker"),
            UsageTicks(self._database, "scaibunker").task(),
        )

    async def sweep_timeouts(self, op: Operation, span: Span) -> None:  # noqa: ARG002
        """End bunkers whose lifetime is over, hint at idle ones and at those to be passivated, and call lost the commands whose
        end must have come."""
        lost = await lose_overdue(op, self._database)
        self._metrics.execs_ended.labels(ExecState.LOST.value).inc(lost)
        async with self._database.read() as db:
            expired = await bunkers.expired(op, db)
            limits = await bunkers.idle_limits(op, db)
            tired = await bunkers.to_be_asleep(op, db)
        for bunker in expired:
            reason = bunker.overdue(op.now(), op.now())
            async with self._database.write() as db:
                await bunkers.desire(op, db, bunker.id, Desired.TERMINATED, reason)
        self._hint([*(bunker.id for bunker in expired), *tired])
        since = op.now() - IDLE_MARGIN
        self._hint(
            bunker_id
            for bunker_id, used_at, idle_s in limits
            if used_at + timedelta(seconds=idle_s) <= since
        )

    async def monitor_heartbeats(self, op: Operation, span: Span) -> None:
        """Tell of workers that have fallen silent, and hint at what was to happen on them."""
        since, until = span.since - self._offline_after, span.until - self._offline_after
        async with self._database.read() as db:
            for worker_id in await workers.fell_silent(op, db, since, until):
                log.warning("a worker is silent", worker_id=worker_id)
            self._hint(await workers.held_by_silent(op, db, until))

    def _hint(self, bunker_ids: Iterable[str]) -> None:
        for bunker_id in bunker_ids:
            self._bus.publish(RECONCILE, bunker_id)
