"""What is recorded of one machine on its way to the disk: gathered in bounded memory, written by a thread.

What there is no room for is counted, and the count is written as soon as there is room: nothing is missing silently.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from scaibunker.worker.gateway.counts import DROPPED, GAPS, RECORDS, Counts
from scaibunker.worker.gateway.flows.records import of_loss
from scaibunker.worker.gateway.flows.spool import Spool

log = structlog.get_logger(__name__)

MEMORY_BYTES = 2 * 1024 * 1024
"""Lines that wait for the disk, of one machine."""
BLOCK_BYTES = 128 * 1024
"""Lines that are written at a time."""
WRITE_S = 0.5
"""How long lines are gathered: what a gateway that is killed takes with it."""
NO_MEMORY, NO_DISK, RESTARTED = "memory", "disk", "restart"
"""Why records are missing: they came faster than the disk takes them; there was no room on it; the gateway was killed."""


class _Loss:
    """`count` None: nobody knows."""

    def __init__(self, count: int | None, since: float) -> None:
        self.count = count
        self.since = since
        self.until = since


class Journal:
    """Of one machine, into one folder, which nobody else writes into once `after` is done. All but the disk's work is done on
    the loop."""

    def __init__(
        self,
        bunker_id: str,
        folder: Path,
        make_spool: Callable[[Path], Spool],
        *,
        after: asyncio.Task[None] | None = None,
        memory_bytes: int = MEMORY_BYTES,
        write_s: float = WRITE_S,
        now: Callable[[], float] = time.time,
        counts: Counts | None = None,
    ) -> None:
        self._counts = counts or Counts()
        self._bunker_id = bunker_id
        self._folder = folder
        self._spool = make_spool(folder)
        self._after = after
        self._memory_bytes = memory_bytes
        self._write_s = write_s
        self._now = now
        self._blocks: list[bytearray] = []
        self._waiting = 0
        self._losses: dict[str, _Loss] = {}
        self._hurry = asyncio.Event()
        self._closing = False
        self.records = 0
        self.dropped = 0
        self._task = asyncio.create_task(self._run(), name=f"flows of {bunker_id}")

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def bunker_id(self) -> str:
        return self._bunker_id

    @property
    def has_room(self) -> bool:
        """Whether there is room for a few hundred records, at least."""
        return self._waiting < self._memory_bytes // 2

    def add(self, line: bytes) -> None:
        """One record. Never waits."""
        if self._waiting + len(line) > self._memory_bytes:
            self.lose(1, NO_MEMORY)
            return
        if not self._blocks or len(self._blocks[-1]) >= BLOCK_BYTES:
            self._blocks.append(bytearray())
            if len(self._blocks) > 1:
                self._hurry.set()
        self._blocks[-1] += line
        self._waiting += len(line)
        self.records += 1

    def lose(self, count: int | None, reason: str, since: float | None = None) -> None:
        """That `count` records are missing (None: unknown)."""
        now = self._now()
        loss = self._losses.setdefault(reason, _Loss(0, since or now))
        known = None if loss.count is None or count is None else loss.count + count
        loss.count, loss.until = known, now
        self.dropped += count or 0
        self._counts.add(DROPPED, reason, count or 0)

    async def close(self) -> None:
        """Everything is on the disk when this returns, or counted there."""
        self._closing = True
        self._hurry.set()
        await self._task

    async def _run(self) -> None:
        if self._after is not None:
            await asyncio.wait([self._after])
        try:
            since = await asyncio.to_thread(self._spool.take_over)
        except OSError as error:
            log.error("flow_spool_unusable", bunker_id=self._bunker_id, error=str(error))
        else:
            if since is not None:
                self.lose(None, RESTARTED, since)
        while True:
            await self._pause()
            closing = self._closing
            await self._write()
            try:
                await asyncio.to_thread(self._spool.close if closing else self._spool.tick)
            except OSError as error:
                log.error("flow_batch_not_written", bunker_id=self._bunker_id, error=str(error))
            if closing:
                break
        lost = {reason: loss.count for reason, loss in self._losses.items()}
        if lost:
            log.error("lost_flows_not_written_down", bunker_id=self._bunker_id, lost=lost)
        log.info(
            "flows_recorded",
            bunker_id=self._bunker_id,
            records=self.records,
            dropped=self.dropped,
        )

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._write_s):
                await self._hurry.wait()
        self._hurry.clear()

    async def _write(self) -> None:
        while self._blocks:
            block = bytes(self._blocks.pop(0))
            lines = block.count(b"\n")
            if await asyncio.to_thread(self._spool.append, block):
                self._counts.add(RECORDS, count=lines)
            else:
                self.lose(lines, NO_DISK)
            # Until here it took memory, whoever holds it.
            self._waiting -= len(block)
        losses, self._losses = self._losses, {}
        for reason, loss in losses.items():
            line = of_loss(self._bunker_id, loss.count, reason, loss.since, loss.until)
            if await asyncio.to_thread(self._spool.append, line, is_urgent=True):
                self._counts.add(GAPS, reason)
            else:
                self._remember(reason, loss)

    def _remember(self, reason: str, old: _Loss) -> None:
        """It could not be said, and is added to what has been lost since."""
        new = self._losses.get(reason)
        if new is not None:
            known = None if None in (old.count, new.count) else (old.count or 0) + (new.count or 0)
            old.count, old.until = known, new.until
        self._losses[reason] = old
