"""Telling the platform, minute by minute, what bunkers used.

What is told is made from the history of their states alone, so that a minute comes out the same
whenever it is told. The rows of bunkers are locked meanwhile: two that tell of one minute take
turns, and the second finds it told. What was sent goes with the first minute after it was heard of.
"""

from collections.abc import Sequence
from datetime import datetime

from scaibunker.controller.usage import repository
from scaibunker.controller.usage.domain import amounts, stays
from scaigrid.accounting import ledger
from scaigrid.accounting.domain import MINUTE, Amounts, Tick, minute_of
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation
from scaigrid.tasks.domain import Every, Span, Task

SETTLED_S = 5
"""How long after a minute its changes of state are written for certain."""
AT_ONCE = 200
"""Bunkers of one transaction."""
_NOTHING = Amounts()


class UsageTicks:
    """The task."""

    def __init__(self, database: Database, module: str) -> None:
        self._database = database
        self._module = module

    def task(self) -> Task:
        """Once a minute, for each minute."""
        every = Every(60, delay_s=SETTLED_S)
        return Task(
            f"{self._module}.usage_ticks", every, self.tick, time_limit_s=300, per_slot=True
        )

    async def tick(self, op: Operation, span: Span) -> None:
        """Tell of the minute before the end of the span."""
        end = minute_of(span.until)
        begin = end - MINUTE
        async with self._database.read() as db:
            concerned = await repository.concerned(op, db, begin, end)
        for start in range(0, len(concerned), AT_ONCE):
            some = concerned[start : start + AT_ONCE]

            async def work(db: Writer, some: Sequence[str] = some) -> None:
                await self._tell(op, db, some, begin, end)

            await self._database.transaction(work)

    async def _tell(
        self, op: Operation, db: Writer, bunker_ids: Sequence[str], begin: datetime, end: datetime
    ) -> None:
        metered = await repository.lock(op, db, bunker_ids)
        told = await ledger.recorded(op, db, begin, bunker_ids)
        left = [bunker for bunker in metered if bunker.id not in told]
        if not left:
            return
        ids = [bunker.id for bunker in left]
        changes = await repository.changes(op, db, ids, begin)
        sent = await repository.settle_egress(op, db, ids)
        ticks = []
        for bunker in left:
            spent = stays(changes.get(bunker.id, ()), begin, end)
            used = amounts(bunker.shape, spent, sent.get(bunker.id, 0))
            if used != _NOTHING:
                ticks.append(Tick(bunker.id, begin, bunker.tenant_id, bunker.user_id, used))
        await ledger.add(op, db, self._module, ticks)
