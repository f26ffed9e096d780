"""Holding and letting go: the counters in Redis judge, the rows say what is held.

A create holds first (one round trip), and writes what it holds with its row. In the transaction it
makes sure that the counters in which it holds still are those that count; if not, nothing of it
happened, and it holds again. While Redis is away the rows judge, one create after the other.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.domain import Claim, exceeded
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.quotas.recount import Recount
from scaigrid.clock import Clock
from scaigrid.db import Database, Writer
from scaigrid.ids import new_token
from scaigrid.live.store import LiveStoreDown
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

GOOD_FOR_S = 20.0
"""Seconds that a hold may wait for its row; one without a row is let go after `drift.GRACE_S`."""
RECOUNT_WAIT_S = 10.0
"""Seconds that creates wait while the counters are made anew; then the rows judge."""
_PAUSE_S = 0.05


class StaleHold(Exception):
    """What was held does not count any more: hold again."""


@dataclass(frozen=True, slots=True)
class Hold:
    """That a bunker is counted, in counters of this epoch; None: that its rows are to judge."""

    epoch: str | None
    at: float


class Ledger:
    """What is held of allowances."""

    def __init__(
        self,
        database: Database,
        counters: Counters,
        recount: Recount,
        clock: Clock,
        metrics: ControllerMetrics,
    ) -> None:
        self._database = database
        self._counters = counters
        self._recount = recount
        self._clock = clock
        self._metrics = metrics
        self._recounting = asyncio.Lock()

    async def hold(self, op: Operation, claim: Claim) -> Hold:
        """Count a bunker that is to be made. Raises BunkerQuotaExceeded."""
        return await self._held(op, lambda: self._counters.hold(claim))

    async def hold_instead(self, op: Operation, claim: Claim, revision: int) -> Hold:
        """Count that a bunker holds this instead of what it held, because of its row as it is at that
        revision. Raises BunkerQuotaExceeded."""
        return await self._held(op, lambda: self._counters.resize(claim, revision, begin=True))

    async def let_go_of(self, op: Operation, claim: Claim, revision: int) -> None:
        """A bunker holds no more than this, and its rows say so since that revision. What this cannot tell
        Redis, the search for drift does."""
        with contextlib.suppress(BunkerQuotaExceeded):  # it is not more of anything
            await self._held(op, lambda: self._counters.resize(claim, revision, begin=False))

    async def _held(self, op: Operation, hold: Callable[[], Awaitable[str | None]]) -> Hold:
        at = self._clock.monotonic()
        deadline = at + RECOUNT_WAIT_S
        try:
            while True:
                epoch = await hold()
                if epoch is not None:
                    return Hold(epoch, self._clock.monotonic())
                if self._clock.monotonic() >= deadline:
                    break
                await self._recounted(op)
        except LiveStoreDown:
            pass
        self._metrics.quotas_judged_by_rows.inc()
        return Hold(None, at)

    async def write(self, op: Operation, db: Writer, claim: Claim, hold: Hold) -> None:
        """Write what a bunker holds, whose row the transaction has written. Raises StaleHold, or
        BunkerQuotaExceeded if the rows judge; either must end the transaction."""
        await self._confirm(op, db, claim, hold)
        await holds.add(op, db, claim)

    async def write_instead(self, op: Operation, db: Writer, claim: Claim, hold: Hold) -> None:
        """The same of a bunker that holds something already."""
        await self._confirm(op, db, claim, hold)
        await holds.replace(op, db, claim)

    async def _confirm(self, op: Operation, db: Writer, claim: Claim, hold: Hold) -> None:
        if hold.epoch is None:
            await self._judge(op, db, claim)
        elif (
            self._clock.monotonic() - hold.at > GOOD_FOR_S
            or await holds.epoch(op, db, locked=True) != hold.epoch
        ):
            raise StaleHold

    async def let_go(self, bunker_id: str) -> None:
        """A bunker holds nothing any more, and its rows say so. What this cannot tell Redis, the
        search for drift does."""
        try:
            await self._counters.let_go(bunker_id)
        except LiveStoreDown:
            log.debug("redis was not told that a bunker holds nothing", bunker_id=bunker_id)

    async def stale(self, op: Operation, hold: Hold, bunker_id: str) -> None:
        """What was held turned out not to count, and is not held."""
        await self.let_go(bunker_id)
        await self.distrust(op, hold)

    async def distrust(self, op: Operation, hold: Hold) -> None:
        """What was held turned out not to count: if the counters do not, say so."""
        if hold.epoch is None:
            return
        try:
            async with self._database.read() as db:
                in_force = await holds.epoch(op, db)
            if in_force != hold.epoch:
                await self._counters.distrust(hold.epoch)
        except LiveStoreDown:
            pass  # then the rows judge

    async def _judge(self, op: Operation, db: Writer, claim: Claim) -> None:
        # A new epoch first: its row is the lock, and counters that come back do not know of this.
        await holds.begin_epoch(op, db, f"rows-{new_token()}")
        held = await holds.sums(op, db, list(claim.buckets))
        mine = await holds.of_bunker(op, db, claim.bunker_id)
        for bucket, resource, amount, cap in claim.lines():
            current = held.get(bucket, {}).get(resource, 0)
            more = amount - mine.get(bucket, {}).get(resource, 0)
            if cap is not None and more > 0 and current + more > cap.most:
                raise exceeded(bucket, resource, current, more, cap)

    async def _recounted(self, op: Operation) -> None:
        """Count anew, or wait a moment for whoever does. Raises LiveStoreDown."""
        if self._recounting.locked():
            await asyncio.sleep(_PAUSE_S)
            return
        async with self._recounting:
            if await self._counters.epoch() is None and not await self._recount.run(op):
                await asyncio.sleep(_PAUSE_S)
