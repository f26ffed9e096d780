"""Finding and mending where the counters and the rows have come apart.

They do only when somebody dies between two lines: a create after it held and before its row was
written, an end or a passivation after its row was written and before Redis was told. Each such bunker is
settled by itself. Counters that are not the sum of what bunkers are said to hold, or bunkers that hold something
else than their rows say (a key was evicted, or somebody wrote to Redis by hand), are made anew as a
whole. All that is mended is counted in a metric that should stay at zero.

A create holds for a while before its row is written. So counters are compared with what Redis says
that each bunker holds, which changes with them in one script, and that with the rows.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.counters import Counters, Stash
from scaibunker.controller.quotas.recount import AT_ONCE, Recount
from scaibunker.controller.workers import places
from scaigrid.db import Database, Writer
from scaigrid.live.store import LiveStoreBroken, LiveStoreDown
from scaigrid.operation import Operation
from scaigrid.tasks.domain import Every, Span, Task

log = structlog.get_logger(__name__)

GRACE_S = 60
"""Seconds after which a hold without a row is nobody's: three times as long as a create may take from
one to the other (`ledger.GOOD_FOR_S`)."""
SHOWN = 20
"""Counters and bunkers that the log names at most."""
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
        except LiveStoreBroken:
            log.error("what counts of quotas is not what was written there")
            self._metrics.quota_drift.labels("broken").inc()
            await self._recount.run(op)
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
        stashes, different = await self._look()
        wrong = await self._mend_bunkers(op, epoch, stashes)
        for _ in range(LOOKS - 1):
            if not different:
                break
            await asyncio.sleep(PAUSE_S)
            _, again = await self._look()
            different = {name: off for name, off in different.items() if again.get(name) == off}
        if different or wrong:
            log.error(
                "counters of quotas were wrong",
                off=dict(sorted(different.items())[:SHOWN]),
                bunkers=wrong[:SHOWN],
            )
            self._metrics.quota_drift.labels("counter").inc(len(different) + len(wrong))
            await self._counters.distrust(epoch)
            await self._recount.run(op)

    async def _look(self) -> tuple[dict[str, Stash], dict[str, int]]:
        """What bunkers are said to hold, and by how much each counter is higher than the sum of it.
        Of a counter that changes meanwhile this look says nothing."""
        before = await self._counters.counted()
        stashes = await self._counters.stashes()
        after = await self._counters.counted()
        off = Counter(after)
        for stash in stashes.values():
            off.subtract(stash.counters)
        return stashes, {
            name: much
            for name, much in off.items()
            if much and before.get(name, 0) == after.get(name, 0)
        }

    async def _mend_bunkers(
        self, op: Operation, epoch: str, stashes: Mapping[str, Stash]
    ) -> list[str]:
        """Settle bunkers that one side knows and the other does not. Returns those that hold
        something else than their rows say."""
        after, unknown, wrong = "", set(stashes), []
        while True:
            async with self._database.read() as db:
                held = await holds.page(op, db, after, AT_ONCE)
            if not held:
                break
            after = max(held)
            unknown -= held.keys()
            if missing := held.keys() - stashes.keys():
                await self._add_missing(op, epoch, sorted(missing))
            wrong += [
                bunker_id
                for bunker_id in sorted(held.keys() & stashes.keys())
                if stashes[bunker_id].counters != self._counters.named(held[bunker_id])
            ]
        await self._let_go_of(op, sorted(unknown))
        return await self._settle(op, epoch, wrong)

    async def _settle(self, op: Operation, epoch: str, different: Sequence[str]) -> list[str]:
        """Bunkers that hold more than their rows say and all that these say, because they hold less since
        they were passivated, are told apart. What was changed a moment ago is not looked at: its row
        follows. Returns those that hold something else than they should."""
        if not different:
            return []
        await asyncio.sleep(PAUSE_S)  # who changes one tells Redis a moment after its rows
        changing = await self._counters.resizing(different)
        left = [each for each in different if each not in changing]
        stashes = await self._counters.stashes_of(left)
        async with self._database.read() as db:
            held = await holds.of_bunkers(op, db, left)
        wrong = []
        for bunker_id in left:
            stash = stashes.get(bunker_id)
            named = self._counters.named(held.get(bunker_id, {}))
            if stash is None or not named or stash.counters == named:
                continue
            if named.items() <= stash.counters.items():
                if await self._counters.settle(epoch, bunker_id, stash, named):
                    log.warning("a bunker held more than its rows say", bunker_id=bunker_id)
                    self._metrics.quota_drift.labels("orphan").inc()
            else:
                wrong.append(bunker_id)
        return wrong

    async def _let_go_of(self, op: Operation, unknown: Sequence[str]) -> None:
        """Bunkers that had no rows, if they have none and are nobody's."""
        if unknown:
            await asyncio.sleep(PAUSE_S)  # who ends a bunker tells Redis a moment after its rows
        for start in range(0, len(unknown), AT_ONCE):
            some = unknown[start : start + AT_ONCE]
            async with self._database.read() as db:
                there = await holds.of_bunkers(op, db, some)
            for bunker_id in some:
                if bunker_id not in there and await self._counters.let_go(bunker_id, self._grace_s):
                    log.warning("a hold of no bunker was let go", bunker_id=bunker_id)
                    self._metrics.quota_drift.labels("orphan").inc()

    async def _add_missing(self, op: Operation, epoch: str, bunker_ids: Sequence[str]) -> None:
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
