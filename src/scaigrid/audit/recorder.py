"""Writes the audit log.

What a request has changed is recorded before the request is answered: its answer waits until the
entry is durable. A database that does not answer holds it up for `DURABLE_S` at most; then the entry
stays in the queue, and its facts go to the process's own log as well, so that they are somewhere
even if the process dies. Refusals are written a moment later, together, and may be folded.
"""

import asyncio
import contextlib

import structlog

from scaigrid.audit.domain import Entry
from scaigrid.audit.folding import Folding
from scaigrid.audit.repository import ADD, to_row
from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.db.batch import BatchWriter
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.loops import forever
from scaigrid.metrics.registry import Metrics

log = structlog.get_logger(__name__)

DURABLE_S = 2.0
"""How long an answer waits for its entry."""
FOLD_S = 5.0
"""How often it is looked whether folded refusals are due."""


class Recorder:
    """Takes entries."""

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        self.clock = clock
        self._late = metrics.counter(
            "audit_late", "Entries that were not durable when their requests were answered."
        )
        self._folded = metrics.counter("audit_folded", "Refusals without an entry of their own.")
        self._writer = BatchWriter(database)
        self._folding = Folding()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()
        self._task = asyncio.create_task(forever("audit", self._write_folded, FOLD_S))

    async def stop(self) -> None:
        """Write what is left, then end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for entry in self._folding.drain():
            self._submit(entry, urgent=False)
        await self._writer.stop()

    async def keep(self, entry: Entry) -> None:
        """Record something that was done; returns when the entry is durable, or after a while."""
        done = self._submit(entry, urgent=True)
        if done is None:
            self._late.inc()
            return
        await asyncio.wait((done,), timeout=DURABLE_S)
        if not done.done() or done.exception() is not None:
            self._late.inc()
            _log(entry, "an audit entry is not durable yet")

    def refuse(self, entry: Entry) -> None:
        """Record something that was refused or has failed. Does not wait."""
        single = self._folding.take(entry, self.clock.monotonic())
        if single is not None:
            self._submit(single, urgent=False)
        else:
            self._folded.inc()

    async def flush(self) -> None:
        """Wait for what was recorded so far, but not for a database that does not answer."""
        with contextlib.suppress(DatabaseUnavailable):
            await self._writer.flush(DURABLE_S)

    def _submit(self, entry: Entry, *, urgent: bool) -> "asyncio.Future[None] | None":
        try:
            return self._writer.submit(ADD, to_row(entry), urgent=urgent)
        except DatabaseUnavailable:  # the queue is full: the database has been away for long
            _log(entry, "an audit entry has no place in the queue")
            return None

    async def _write_folded(self) -> None:
        for entry in self._folding.due(self.clock.monotonic()):
            self._submit(entry, urgent=False)


def _log(entry: Entry, why: str) -> None:
    """The entry as a line of the process's own log."""
    log.error(why, **{**to_row(entry), "at": entry.at.isoformat()})
