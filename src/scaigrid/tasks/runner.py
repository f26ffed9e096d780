"""Doing what is due, in one of many processes that all try.

The table is the truth: a task is claimed there for the time of a lease, which is renewed while the
task runs, and each slot that is done is written there under the claim. A process that dies is
replaced when its lease has run out.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError

from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.loops import forever
from scaigrid.metrics.registry import Metrics
from scaigrid.operation import Operation, system_operation
from scaigrid.settings.tasks import TaskSettings
from scaigrid.tasks import repository
from scaigrid.tasks.domain import Task
from scaigrid.tasks.lease import Lease, LeaseLost

log = structlog.get_logger(__name__)

RETRY_S = 10.0
"""Pause before a task that failed is tried again."""
HEAD_START_S = 3.0
"""How long a slot is left to the trigger before the table is asked."""


async def register(database: Database, clock: Clock, tasks: Sequence[Task]) -> None:
    """Make rows for tasks that are new: from now on none of their slots is forgotten."""
    op = system_operation("tasks", clock)
    async with database.read() as db:
        known = await repository.find(op, db, [task.name for task in tasks])
    for task in tasks:
        if task.name not in known:
            with contextlib.suppress(IntegrityError):  # another process has just made it
                async with database.write() as db:
                    await repository.add(op, db, task.name, task.schedule.latest(op.now()))


class Runner:
    """Runs each of the tasks whenever it is due and nobody else has it."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        tasks: Sequence[Task],
        settings: TaskSettings,
        metrics: Metrics,
    ) -> None:
        self.tasks = {task.name: task for task in tasks}
        if len(self.tasks) != len(tasks):
            raise ValueError("two tasks have one name")
        self._database = database
        self._clock = clock
        self._settings = settings
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._looked_at = clock.monotonic()
        self._ended = metrics.counter(
            "task_runs", "Runs of background tasks: done, failed, or lost.", ["task", "outcome"]
        )
        self._seconds = metrics.histogram("task_run_seconds", "How long they took.", ["task"])

    def start(self, name: str) -> "asyncio.Task[bool]":
        """Do a task if it is due, unless this process is at it already. The result says whether it
        was done; it never raises."""
        running = self._running.get(name)
        if running is None:
            running = asyncio.create_task(self._attempt(self.tasks[name]), name=f"task {name}")
            self._running[name] = running
            running.add_done_callback(lambda _: self._running.pop(name))
        return running

    async def poll(self) -> None:
        """For ever, look into the table, and do what the trigger has not brought about."""
        await forever("tasks", self._look, self._settings.poll_interval_s)

    def looked_s_ago(self) -> float:
        """Seconds since the table was last looked into."""
        return self._clock.monotonic() - self._looked_at

    async def stop(self) -> None:
        """Give what runs a little time to come to its end, then break it off."""
        running = set(self._running.values())
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=self._settings.stop_timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _look(self) -> None:
        op = self._op()
        async with self._database.read() as db:
            found = await repository.find(op, db, self.tasks)
        self._looked_at = self._clock.monotonic()
        at = op.now() - timedelta(seconds=HEAD_START_S)
        for name, run in found.items():
            if _is_due(self.tasks[name], run.done_until, at):
                self.start(name)

    async def _attempt(self, task: Task) -> bool:
        op = self._op()
        lease = Lease(op, self._database, task.name, self._settings.lease_s)
        try:
            async with self._database.read() as db:
                run = (await repository.find(op, db, [task.name])).get(task.name)
            if run is None or not _is_due(task, run.done_until, op.now()):
                return False
            if not await lease.take(run):
                return False
        except Exception:
            log.exception("a task could not be claimed", task=task.name)
            return False
        work = asyncio.create_task(_work(op, task, run.done_until, lease))
        begun, outcome, not_before = op.clock.monotonic(), "lost", None
        try:
            await lease.guard(work)
            await work
        except LeaseLost:
            log.warning("a task was taken over by another process", task=task.name)
        except Exception:
            log.exception("a task failed", task=task.name)
            outcome, not_before = "failed", op.now() + timedelta(seconds=RETRY_S)
        else:
            outcome = "done"
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await lease.give_back(not_before)
            self._ended.labels(task.name, outcome).inc()
            self._seconds.labels(task.name).observe(op.clock.monotonic() - begun)
        return outcome == "done"

    def _op(self) -> Operation:
        return system_operation("tasks", self._clock)


async def _work(op: Operation, task: Task, done_until: datetime, lease: Lease) -> None:
    for span in task.spans(done_until, op.now()):
        async with asyncio.timeout(task.time_limit_s):
            await task.work(op, span)
        await lease.record(span.until)


def _is_due(task: Task, done_until: datetime, now: datetime) -> bool:
    return any(task.spans(done_until, now))
