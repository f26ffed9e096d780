"""Bringing batches to storage, for as long as it takes: one is removed here when it is stored there, and not before.

Batches belong to no machine of this daemon: those that an earlier one left, and of bunkers that are gone, are brought like
all others.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Collection

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway.tally import Tally
from scaibunker.worker.network.audit.folders import BadBatch, Folders
from scaibunker.worker.network.audit.store import BatchStore
from scaibunker.worker.snapshots.store import StoreAway

log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""Between two looks at the folders."""
AT_ONCE = 4
"""Bunkers whose batches are brought at the same time; of one bunker, one after the other."""
TURN = 16
"""Batches of one bunker before others get their turn."""
STORE_TIMEOUT_S = 120.0
MAX_DELAY_S = 60.0


class Uploader:
    """`living`: the bunkers that have a machine here, whose folders stay. `pending`: batches that waited when it last
    looked."""

    def __init__(
        self,
        folders: Folders,
        store: BatchStore,
        living: Callable[[], Collection[str]],
        *,
        look_s: float = LOOK_S,
        max_delay_s: float = MAX_DELAY_S,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._folders = folders
        self._store = store
        self._living = living
        self._look_s = look_s
        self._max_delay_s = max_delay_s
        self._places = asyncio.Semaphore(AT_ONCE)
        self._refused: dict[str, float] = {}
        self._bad: set[tuple[str, str]] = set()
        self._delay_s = 0.0
        self._has_more = False
        self.pending = 0
        self.stored = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.bring()
            except Exception:
                # Whatever it is: what waits here is lost if nobody tries again.
                log.exception("audit_upload_failed")
                self._wait_longer()
            if self._delay_s:
                await asyncio.sleep(self._delay_s * random.uniform(0.5, 1))  # noqa: S311
            else:
                await asyncio.sleep(0 if self._has_more else self._look_s)

    async def bring(self) -> None:
        """Bring a turn of what waits of each bunker. Returns when all is stored, or when storage is away."""
        pending = await asyncio.to_thread(self._folders.pending)
        self.pending = sum(len(batches) for batches in pending.values())
        self._tally.batches_waiting = self.pending
        self._bad &= {(bunker, batch) for bunker, batches in pending.items() for batch in batches}
        now = asyncio.get_running_loop().time()
        self._refused = {b: until for b, until in self._refused.items() if until > now}
        work = {
            bunker: batches for bunker, batches in pending.items() if bunker not in self._refused
        }
        self._has_more = any(len(batches) > TURN for batches in work.values())
        stored_before = self.stored
        away = [
            reason
            for reason in await asyncio.gather(*(self._bring(*each) for each in work.items()))
            if reason
        ]
        if away:
            if not self._delay_s:
                log.warning("audit_storage_away", batches=self.pending, reason=away[0])
            self._wait_longer()
        elif self.stored > stored_before or not self.pending:
            if self._delay_s:
                log.info("audit_storage_back")
            self._delay_s = 0.0

    async def _bring(self, bunker_id: str, batches: list[str]) -> str | None:
        """Why storage is away, if it is."""
        async with self._places:
            try:
                for batch in batches[:TURN]:
                    await self._bring_one(bunker_id, batch)
                if not batches and bunker_id not in self._living():
                    await asyncio.to_thread(self._folders.forget, bunker_id)
            except (StoreAway, TimeoutError) as away:
                return str(away) or "time-out"
            except (WorkerFault, OSError) as fault:
                # It concerns this bunker; others need not wait for it.
                log.error("audit_batch_refused", bunker_id=bunker_id, reason=str(fault))
                until = asyncio.get_running_loop().time() + self._max_delay_s
                self._refused[bunker_id] = until
        return None

    async def _bring_one(self, bunker_id: str, batch: str) -> None:
        try:
            content = await asyncio.to_thread(self._folders.read, bunker_id, batch)
        except FileNotFoundError:
            return
        except (BadBatch, OSError) as error:
            if (bunker_id, batch) not in self._bad:
                self._bad.add((bunker_id, batch))
                log.error("audit_batch_unreadable", bunker_id=bunker_id, error=repr(error))
            return
        digest = hashlib.sha256(content).hexdigest()
        async with asyncio.timeout(STORE_TIMEOUT_S):
            await self._store.put(
                f"{bunker_id}/{batch}", _whole(content), size=len(content), sha256=digest
            )
        await asyncio.to_thread(self._folders.remove, bunker_id, batch)
        self.stored += 1

    def _wait_longer(self) -> None:
        self._delay_s = min(max(1.0, 2 * self._delay_s), self._max_delay_s)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
