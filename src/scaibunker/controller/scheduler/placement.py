"""Choosing a worker and taking the place on it, as one step.

The choice is made of what this replica knows (`view`); the place is taken by a statement that fails
if the worker has not got it any more, in the transaction that writes what the place is for. Who
loses the last place to another replica chooses again.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.scheduler.domain import Demand, Place, Strategy
from scaibunker.controller.scheduler.errors import WorkerUnavailable
from scaibunker.controller.scheduler.view import FleetView
from scaibunker.controller.workers import places
from scaigrid.clock import Clock
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation

T = TypeVar("T")

ATTEMPTS = 32
"""Each one that fails is a place that somebody else has got."""


class Placement:
    """Finds bunkers their workers."""

    def __init__(
        self,
        database: Database,
        view: FleetView,
        clock: Clock,
        strategy: Strategy,
        metrics: ControllerMetrics,
    ) -> None:
        self._database = database
        self._view = view
        self._clock = clock
        self._strategy: Strategy = strategy
        self._metrics = metrics

    async def place(
        self, op: Operation, demand: Demand, write: Callable[[Writer, Place], Awaitable[T]]
    ) -> T:
        """Take a place, and run `write` in the same transaction: what it raises gives the place back.

        It may be run more than once, each time in a transaction of its own. Raises
        WorkerUnavailable, NoSuitableWorker.
        """
        since = self._clock.monotonic()
        for _ in range(ATTEMPTS):
            place = await self._choose(demand, since)
            try:
                with self._view.taking(place):
                    return await self._take(op, place, write)
            except places.PlaceTaken:
                self._metrics.places_lost.inc()
                since = self._clock.monotonic()
                await self._view.bring_up_to_date(since)
        raise WorkerUnavailable("Every worker that was chosen was taken by others meanwhile.")

    async def _choose(self, demand: Demand, since: float) -> Place:
        place = self._view.best(demand, self._strategy)
        if place is None and not self._view.is_known_since(since):
            await self._view.bring_up_to_date(since)
            place = self._view.best(demand, self._strategy)
        if place is None:
            error = self._view.why_none(demand)
            self._metrics.placement_failures.labels(error.code).inc()
            raise error
        return place

    async def _take(
        self, op: Operation, place: Place, write: Callable[[Writer, Place], Awaitable[T]]
    ) -> T:
        async def work(db: Writer) -> T:
            heard_since = self._view.heard_since()
            await places.take(op, db, place.worker_id, place.shape, place.gpu_type, heard_since)
            return await write(db, place)

        return await self._database.transaction(work)
