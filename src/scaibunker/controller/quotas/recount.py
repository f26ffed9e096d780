"""Making the counters anew from the rows: after a wipe, or when they cannot be trusted.

One process does it at a time, under a lock that Redis keeps; if Redis is wiped once more the lock is
gone too, and it begins again. The new epoch is in force in the database before the rows are read: what
is created meanwhile was held in older counters, and holds again.
"""

import structlog

from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.counters import Counters
from scaigrid.db import Database, Writer
from scaigrid.ids import new_token
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

AT_ONCE = 500


class Recount:
    """Counts anew."""

    def __init__(self, database: Database, counters: Counters, metrics: ControllerMetrics) -> None:
        self._database = database
        self._counters = counters
        self._metrics = metrics

    async def run(self, op: Operation) -> bool:
        """Returns whether the counters are whole now; False if another one counts. Raises
        LiveStoreDown."""
        epoch = new_token()
        if not await self._counters.begin(epoch):
            return False
        log.warning("the counters of quotas are made anew")

        async def begin(db: Writer) -> None:
            await holds.begin_epoch(op, db, epoch)

        await self._database.transaction(begin)
        whole = op.as_platform("counting what is held of allowances")
        after, count = "", 0
        while True:
            async with self._database.read() as db:
                held = await holds.page(whole, db, after, AT_ONCE)
            if not held:
                break
            if not await self._counters.put_back(epoch, held):
                return False
            after, count = max(held), count + len(held)
        done = await self._counters.finish(epoch, epoch)
        if done:
            self._metrics.quota_recounts.inc()
            log.info("the counters of quotas are whole", bunkers=count)
        return done
