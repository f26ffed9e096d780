"""Telling a worker that has moved from a second one that says it is the first.

A worker's id lies in its data directory: who copies that to another host has two daemons of one id. If
both were believed, the controller would ask one of them for the other's machines.
"""

from collections.abc import Awaitable, Callable

import structlog

from scaibunker.controller.workers import repository
from scaibunker.controller.workers.domain import Presence, Worker
from scaibunker.controller.workers.errors import WorkerIdTaken
from scaigrid.db import Database
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

Who = Callable[[str], Awaitable[str | None]]
"""The id of the worker that answers at an address; None if none does."""


class Identity:
    """Looks only where a worker has news of itself, which is seldom."""

    def __init__(self, database: Database, presence: Presence, who: Who) -> None:
        self._database = database
        self._presence = presence
        self._who = who

    async def check(self, op: Operation, worker: Worker) -> None:
        """Raise WorkerIdTaken for a report from a new address while a worker of that id, which has
        reported lately, still answers at the old one. A daemon that was started again does not."""
        async with self._database.read() as db:
            known = await repository.get(op, db, worker.id)
        if known is None or known.address == worker.address:
            return
        if not self._presence.was_heard(known.last_heartbeat_at, op.now()):
            return
        if await self._who(known.address) == worker.id:
            log.error("two workers say that they are one", worker_id=worker.id, name=worker.name)
            raise WorkerIdTaken
        log.info("a worker has another address", worker_id=worker.id)
