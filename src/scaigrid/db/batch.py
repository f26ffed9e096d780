"""Small writes that need not each have a transaction of their own: logs and times of activity.

A write is durable when its future is done. Writes are applied in the order in which they were
handed in, many to a transaction. One that is not urgent waits a moment for company. Whoever
reads what was written through here flushes first. While the database does not answer the queue
waits, so that nothing is lost that the process lives to write.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import structlog
from sqlalchemy import Executable
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from scaigrid import logs
from scaigrid.db.engine import Database
from scaigrid.db.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

PATIENCE_S = 0.1
"""How long a write that is not urgent waits for company."""
MAX_PENDING = 10_000
"""Writes in the queue at most; more wait for room."""
WAIT_S = 5.0
"""How long a write is waited for while the database does not answer."""
RETRY_S = 0.5
"""Pause before a database that does not answer is asked again."""
_BATCH = 500


@dataclass(slots=True)
class _Write:
    statement: Executable
    values: Mapping[str, Any]
    done: "asyncio.Future[None]" = field(compare=False)


class BatchWriter:
    """One queue, one task that empties it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._meter = database.meter
        self._queue: list[_Write] = []
        self._arrived = asyncio.Event()
        self._urgent = asyncio.Event()
        self._last: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is left, then end."""
        if self._task is None:
            return
        with contextlib.suppress(DatabaseUnavailable):
            await self.flush()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def submit(
        self, statement: Executable, values: Mapping[str, Any], *, urgent: bool = True
    ) -> "asyncio.Future[None]":
        """Hand a write in. The future raises if the database refuses it.

        Raises DatabaseUnavailable when the queue is full: the database has not kept up for long.
        """
        if len(self._queue) >= MAX_PENDING:
            raise DatabaseUnavailable("The database has not kept up; nothing was written.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_retrieved)
        self._queue.append(_Write(statement, values, done))
        self._last = done
        self._meter.queued.inc()
        self._arrived.set()
        if urgent:
            self._urgent.set()
        return done

    async def flush(self, within_s: float = WAIT_S) -> None:
        """Wait until everything that was handed in so far is durable or refused.

        Raises DatabaseUnavailable after that time; what waits stays in the queue.
        """
        if self._last is not None and not self._last.done():
            self._urgent.set()
            await _wait(self._last, within_s)

    async def durable(self, write: "asyncio.Future[None]", within_s: float = WAIT_S) -> None:
        """Wait for one write that `submit` has answered with.

        Raises what the database refuses it with; DatabaseUnavailable after that time, and then the
        write stays in the queue.
        """
        if not write.done():
            await _wait(write, within_s)
        write.result()

    async def _run(self) -> None:
        logs.of_system("batch_writer")
        while True:
            await self._arrived.wait()
            if not self._urgent.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await self._urgent.wait()
            batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
            if not self._queue:
                self._arrived.clear()
                self._urgent.clear()
            await self._write(batch)
            self._meter.queued.dec(len(batch))

    async def _write(self, batch: list[_Write], *, in_doubt: bool = False) -> None:
        """Write them. `in_doubt`: an attempt may have been committed, so what is there is done."""
        while True:
            try:
                await self._apply(batch)
            except DatabaseUnavailable as error:
                in_doubt = in_doubt or error.in_doubt
                await asyncio.sleep(RETRY_S)
            except Exception as error:  # whatever it is, the queue must go on
                if len(batch) > 1:  # one bad write must not take the others with it
                    for write in batch:
                        await self._write([write], in_doubt=in_doubt)
                    return
                if not (in_doubt and isinstance(error, IntegrityError)):
                    self._meter.refused.inc()
                    _refuse(batch[0], error)
                    return
                break
            else:
                break
        for write in batch:
            if not write.done.done():
                write.done.set_result(None)

    async def _apply(self, batch: list[_Write]) -> None:
        def work(connection: Connection) -> None:
            for _, writes in groupby(batch, key=lambda write: id(write.statement)):
                group = list(writes)
                connection.execute(group[0].statement, [write.values for write in group])

        await self._database.apply(work)


async def _wait(write: "asyncio.Future[None]", within_s: float) -> None:
    await asyncio.wait((write,), timeout=within_s)
    if not write.done():
        raise DatabaseUnavailable("The database does not answer; the write is kept for later.")


def _refuse(write: _Write, error: Exception) -> None:
    log.error("a small write was refused", exc_info=error)
    if not write.done.done():
        write.done.set_exception(error)


def _retrieved(done: "asyncio.Future[None]") -> None:
    """Look at the outcome, so that a future nobody awaits is no warning; it has been logged."""
    if not done.cancelled():
        done.exception()
