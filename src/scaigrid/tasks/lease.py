"""Holding a task: a claim that ends by itself unless it is renewed.

What can still happen: a process that stands still for longer than its lease (it was stopped, its
host was suspended) does a little more before it finds out. It records nothing any more, but what
it writes elsewhere must bear being written by two.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from scaigrid.db import Database
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.tasks import repository
from scaigrid.tasks.repository import Run

log = structlog.get_logger(__name__)

GIVE_BACK_S = 3.0
"""How long giving a task back may take; after that it is free when the lease is over."""


class LeaseLost(Exception):
    """Another process has the task, or may have it."""


class Lease:
    """A claim on one task."""

    def __init__(self, op: Operation, database: Database, name: str, seconds: float) -> None:
        self._op = op
        self._database = database
        self._name = name
        self._seconds = seconds
        self._owner = new_id("run")
        self._safe_until = 0.0

    async def take(self, run: Run) -> bool:
        """Claim the task as it was read; False if somebody else has it, or has done it."""
        begun = self._op.clock.monotonic()
        async with self._database.write() as db:
            taken = await repository.claim(self._op, db, run, self._owner, self._end())
        self._count_from(begun)
        return taken

    async def record(self, done_until: datetime) -> None:
        """Write that everything up to a time is done. Raises LeaseLost, and then it is not."""
        async with self._database.write() as db:
            if not await repository.finish(self._op, db, self._name, self._owner, done_until):
                raise LeaseLost

    async def guard(self, work: "asyncio.Task[None]") -> None:
        """Renew the claim until `work` is over. Raises LeaseLost, after `work` was broken off."""
        while True:
            left = self._safe_until - self._op.clock.monotonic()
            done, _ = await asyncio.wait((work,), timeout=max(0.0, min(left, self._seconds / 3)))
            if done:
                return
            if not await self._renew():
                work.cancel()
                await asyncio.wait((work,))
                raise LeaseLost

    async def give_back(self, not_before: datetime | None) -> None:
        """Let others have the task, after that time."""
        try:
            async with asyncio.timeout(GIVE_BACK_S), self._database.write() as db:
                await repository.release(self._op, db, self._name, self._owner, not_before)
        except (DatabaseUnavailable, TimeoutError):
            log.warning("a task is free only when its lease is over", task=self._name)

    async def _renew(self) -> bool:
        """Whether the claim is ours for some time yet."""
        begun = self._op.clock.monotonic()
        if begun >= self._safe_until:
            return False
        try:
            async with asyncio.timeout(self._safe_until - begun), self._database.write() as db:
                kept = await repository.renew(self._op, db, self._name, self._owner, self._end())
        except (DatabaseUnavailable, TimeoutError):
            return True  # tried again, as long as there is time
        self._count_from(begun)
        return kept

    def _end(self) -> datetime:
        return self._op.now() + timedelta(seconds=self._seconds)

    def _count_from(self, begun: float) -> None:
        """The last sixth is left for breaking the work off."""
        self._safe_until = begun + self._seconds * 5 / 6
