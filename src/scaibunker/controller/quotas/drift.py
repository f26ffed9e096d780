"""Finding and mending where the counters and the rows have come apart.

They do only when somebody dies between two lines: a create after it held and before its row was
written, an end after its row was written and before Redis was told. Each such bunker is settled by
itself. Counters that differ though every bunker is right (a key was evicted, or somebody wrote to
Redis by hand) are made anew as a whole. All that is mended is counted in a metric that should stay
at zero.
"""

import asyncio
from collections import Counter

import structlog

from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.recount import AT_ONCE, Recount
from scaibunker.controller.workers import places
from scaigrid.db import Database, Writer
from scaigrid.live.store import LiveStoreDown
from scaigrid.operation import Operation
from scaigrid.tasks.domain import Every, Span, Task

log = structlog.get_logger(__name__)

GRACE_S = 60
"""Seconds after which a hold without a row is nobody's: three times as long as a create may take from
one to the other (`ledger.GOOD_FOR_S`)."""
LOOKS = 3
PAUSE_S = 0.5
"""A difference that is there at each of `LOOKS` looks, so far apart, is no change on its way."""


class Drift:
    """The background task."""

    def __init__(
        self,
        database: Database,
        counters: Counters,
        recount: Recount,
        metrics: ControllerMetrics,
        grace_s: int = GRACE_S,
    ) -> None:
        self._database = database
        self._counters = counters
        self._recount = recount
        self._metrics = metrics
        self._grace_s = grace_s

    def task(self, module: str) -> Task:
        """Its declaration."""
        return Task(f"{module}.mend_holds", Every(30), self.run)

    async def run(self, op: Operation, span: Span) -> None:  # noqa: ARG002
        """Look once, and mend what is found."""
        await self._mend_places(op)
        try:
            await self._mend_counters(op)
        except LiveStoreDown:
            log.debug("redis is away; its counters are looked at when it is back")

    async def _mend_counters(self, op: Operation) -> None:
        epoch = await self._counters.epoch()
        async with self._database.read() as db:
            in_force = await holds.epoch(op, db)
        if epoch is None or epoch != in_force:
            if epoch is not None:
                await self._counters.distrust(epoch)
            await self._recount.run(op)
            return
        await self._mend_bunkers(op, epoch)
        different = await self._difference(op)
        for _ in range(LOOKS - 1):
            if not different:
                return
            await asyncio.sleep(PAUSE_S)
            again = await self._difference(op)
            different = {name: off for name, off in different.items() if again.get(name) == off}
        if different:
            log.error("counters of quotas were wrong", off=dict(sorted(different.items())[:20]))
            self._metrics.quota_drift.labels("counter").inc(len(different))
            await self._counters.distrust(epoch)
            await self._recount.run(op)

    async def _mend_bunkers(self, op: Operation, epoch: str) -> None:
        """Bunkers that one side knows and the other does not."""
        stashes = await self._counters.stashes()
        after, unknown = "", set(stashes)
        while True:
            async with self._database.read() as db:
                held = await holds.page(op, db, after, AT_ONCE)
            if not held:
                break
            after = max(held)
            unknown -= held.keys()
            missing = {each: buckets for each, buckets in held.items() if each not in stashes}
            if missing:
                await self._add_missing(op, epoch, list(missing))
        for bunker_id in unknown:
            async with self._database.read() as db:
                there = await holds.of_bunkers(op, db, [bunker_id])
            if not there and await self._counters.let_go(bunker_id, self._grace_s):
                log.warning("a hold of no bunker was let go", bunker_id=bunker_id)
                self._metrics.quota_drift.labels("orphan").inc()

    async def _add_missing(self, op: Operation, epoch: str, bunker_ids: list[str]) -> None:
        """They may have ended since; what ends after this look lets go of what is put back here."""
        async with self._database.read() as db:
            held = await holds.of_bunkers(op, db, bunker_ids)
        if count := await self._counters.add_missing(epoch, held):
            log.warning("bunkers were not counted", count=count)
            self._metrics.quota_drift.labels("missing").inc(count)
            async with self._database.read() as db:
                left = await holds.of_bunkers(op, db, list(held))
            for bunker_id in held.keys() - left.keys():
                await self._counters.let_go(bunker_id)

    async def _difference(self, op: Operation) -> dict[str, int]:
        """How much too high each counter is, by its name."""
        counted = Counter(await self._counters.counted())
        async with self._database.read() as db:
            rows = await holds.sums(op, db)
        for bucket, amounts in rows.items():
            for resource, amount in amounts.items():
                counted[self._counters.name(bucket, resource)] -= amount
        return {name: off for name, off in counted.items() if off}

    async def _mend_places(self, op: Operation) -> None:
        """What workers have given away changes in the transactions of those who get it, so that this
        finds something only after somebody wrote to the database by hand."""
        async with self._database.read() as db:
            suspects = await places.out_of_step(op, db)
        for worker_id in suspects:

            async def work(db: Writer, worker_id: str = worker_id) -> bool:
                return await places.mend(op, db, worker_id)

            if await self._database.transaction(work):
                log.error("what a worker has given away was wrong", worker_id=worker_id)
                self._metrics.quota_drift.labels("place").inc()
