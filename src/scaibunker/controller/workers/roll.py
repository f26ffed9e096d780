"""Heartbeats that arrive together are stored together.

Each has its answer once it is durable. While one batch is being stored the next one gathers: a few
heartbeats wait for nobody, and many share a transaction and a look at what their workers should have.
What cannot be stored in that way (a worker has news of itself, its row is held by somebody else, or
one of them fails) is stored by itself, and nobody else waits for it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaibunker.controller.bunkers import repository as bunkers
from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.workers import repository
from scaibunker.controller.workers.domain import Worker
from scaibunker.controller.workers.identity import Identity
from scaigrid.db import Database, Writer
from scaigrid.db.errors import DatabaseBusy, DatabaseUnavailable
from scaigrid.operation import Operation

MOST_TOGETHER = 32
"""Rows that one transaction holds, while others may want to reserve places on their workers."""

ALONE_AT_ONCE = 2
"""Heartbeats that are stored by themselves at the same time, each on a connection of its own."""

Expected = Mapping[str, tuple[State, Desired]]
"""The live bunkers of a worker: what each is, and what it is wanted to be."""


@dataclass(slots=True)
class _Entry:
    worker: Worker
    stored: "asyncio.Future[Expected]"


class Roll:
    """Who has reported."""

    def __init__(self, database: Database, identity: Identity) -> None:
        self._database = database
        self._identity = identity
        self._waiting: list[_Entry] = []
        self._task: asyncio.Task[None] | None = None
        self._alone = asyncio.Semaphore(ALONE_AT_ONCE)
        self._being_stored: set[asyncio.Task[None]] = set()

    async def enter(self, op: Operation, worker: Worker) -> Expected:
        """Store what a worker says of itself; returns what it should have. One worker's reports
        must come one after the other. Raises DatabaseUnavailable, WorkerIdTaken."""
        entry = _Entry(worker, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._task is None:
            self._task = asyncio.create_task(self._store_all(op))
        return await entry.stored

    async def _store_all(self, op: Operation) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MOST_TOGETHER]
                del self._waiting[:MOST_TOGETHER]
                for entry in await self._store_together(op, batch):
                    task = asyncio.create_task(self._store_alone(op, entry))
                    self._being_stored.add(task)
                    task.add_done_callback(self._being_stored.discard)
        finally:
            self._task = None

    async def _store_together(self, op: Operation, batch: Sequence[_Entry]) -> Sequence[_Entry]:
        """Returns those that must be stored by themselves."""
        workers = [entry.worker for entry in batch]

        async def unchanged(db: Writer) -> set[str]:
            return await repository.heard(op, db, workers)

        try:
            known = await self._database.transaction(unchanged)
            expected = await self._expected(op, batch)
        except DatabaseUnavailable as error:
            if len(batch) > 1 and isinstance(error, DatabaseBusy):
                return batch
            for entry in batch:
                _refuse(entry, error)
            return ()
        except Exception:  # whose fault it is shows when each is stored by itself
            return batch
        for entry in batch:
            if entry.worker.id in known:
                _answer(entry, expected)
        return [entry for entry in batch if entry.worker.id not in known]

    async def _store_alone(self, op: Operation, entry: _Entry) -> None:
        async def work(db: Writer) -> None:
            await repository.describe(op, db, entry.worker)

        try:
            await self._identity.check(op, entry.worker)
            async with self._alone:
                await self._database.upsert(work)
                expected = await self._expected(op, [entry])
        except Exception as error:  # its worker is told
            _refuse(entry, error)
        else:
            _answer(entry, expected)

    async def _expected(self, op: Operation, batch: Sequence[_Entry]) -> Mapping[str, Expected]:
        async with self._database.read() as db:
            return await bunkers.on_workers(op, db, [entry.worker.id for entry in batch])


def _answer(entry: _Entry, expected: Mapping[str, Expected]) -> None:
    if not entry.stored.done():
        entry.stored.set_result(expected.get(entry.worker.id, {}))


def _refuse(entry: _Entry, error: Exception) -> None:
    if not entry.stored.done():
        entry.stored.set_exception(error)
