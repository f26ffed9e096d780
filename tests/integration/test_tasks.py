"""Background tasks: each slot once, whoever runs, dies or comes late."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from scaigrid.clock import SystemClock
from scaigrid.db import Database
from scaigrid.ids import new_id
from scaigrid.loops import end
from scaigrid.metrics.registry import Metrics
from scaigrid.operation import Operation
from scaigrid.settings import DatabaseSettings, RedisSettings, TaskSettings
from scaigrid.tasks import runner as runners
from scaigrid.tasks.domain import Daily, Every, Span, Task
from scaigrid.tasks.queue import Queue
from scaigrid.tasks.runner import Runner, register
from scaigrid.tasks.tables import task_runs
from tests.integration.conftest import Template
from tests.servers import RedisServer, running
from tests.waiting import PATIENT_S, until

CLOCK = SystemClock()
HOUR = timedelta(hours=1)
LEASE_S = 3.0
"""So long that a busy host keeps it."""


@dataclass
class Log:
    """What was run, and how many at once."""

    spans: list[Span] = field(default_factory=list)
    inside: int = 0
    most: int = 0

    def task(
        self,
        schedule: Every | Daily,
        work: Callable[[], Awaitable[None]] | None = None,
        *,
        per_slot: bool = False,
        time_limit_s: float = 60,
    ) -> Task:
        async def run(op: Operation, span: Span) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await (work() if work else asyncio.sleep(0.001))
            finally:
                self.inside -= 1
            self.spans.append(span)

        return Task("test.task", schedule, run, time_limit_s, per_slot)


@dataclass
class Bench:
    """A database, and runners on it that share nothing else, as processes would."""

    settings: DatabaseSettings
    database: Database
    held: AsyncExitStack

    async def runner(self, task: Task, lease_s: float = 30, poll_s: float = 0.1) -> Runner:
        database = Database(self.settings)
        self.held.push_async_callback(database.close)
        settings = TaskSettings(lease_s=lease_s, poll_interval_s=poll_s, stop_timeout_s=0)
        made = Runner(database, CLOCK, [task], settings, Metrics())
        self.held.push_async_callback(made.stop)
        return made

    async def done(self, since: datetime, **more: object) -> None:
        """The task has a row that says so."""
        async with self.database.write() as db:
            row = {"name": "test.task", "done_until": since, **more}
            await db.execute(insert(task_runs).values(row))

    async def row(self, **changes: object) -> tuple[datetime, str | None]:
        """The row's `done_until` and `owner`, after the changes."""
        async with self.database.write() as db:
            if changes:
                await db.execute(update(task_runs).values(changes))
            row = await db.row(select(task_runs).where(task_runs.c.name == "test.task"))
        assert row is not None
        return row["done_until"], row["owner"]


@pytest.fixture
async def bench(template: Template, tmp_path: Path) -> AsyncIterator[Bench]:
    settings = template.store.copy(tmp_path / "bench")
    async with AsyncExitStack() as held:
        database = Database(settings)
        held.push_async_callback(database.close)
        yield Bench(settings, database, held)


@asynccontextmanager
async def at_work(*loops: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
    finally:
        await end(tasks)


async def test_runners_that_all_try_do_each_missed_slot_once_and_in_order(bench: Bench) -> None:
    log = Log()
    task = log.task(Every(60), per_slot=True)
    latest = task.schedule.latest(CLOCK.now())
    await bench.done(latest - HOUR)
    crowd = [await bench.runner(task) for _ in range(4)]

    async def hammer(runner: Runner) -> int:
        return sum([await runner.start(task.name) for _ in range(15)])

    wins = await asyncio.gather(*(hammer(runner) for runner in crowd))
    assert sum(wins) in (1, 2)  # two, if the minute changed meanwhile
    assert log.most == 1
    first = [span.until for span in log.spans[:60]]
    assert first == [latest - HOUR + timedelta(minutes=n) for n in range(1, 61)]
    assert len(log.spans) == 60 + sum(wins) - 1
    assert (await bench.row())[1] is None


async def test_many_slots_one_after_the_other_are_shared_and_none_is_done_twice(
    bench: Bench,
) -> None:
    log = Log()
    task = log.task(Every(1))
    await bench.done(task.schedule.latest(CLOCK.now()))
    crowd = [await bench.runner(task) for _ in range(3)]

    async def try_again(runner: Runner) -> None:
        while len(log.spans) < 3:
            await runner.start(task.name)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(try_again(runner) for runner in crowd))
    assert log.most == 1
    assert all(a.until == b.since for a, b in pairwise(log.spans))


async def test_a_sweep_that_was_missed_runs_once_for_all_of_it(bench: Bench) -> None:
    log = Log()
    task = log.task(Daily(3, 17))
    since = task.schedule.latest(CLOCK.now()) - timedelta(days=3)
    await bench.done(since)
    runner = await bench.runner(task)
    async with at_work(runner.poll()):
        await until(lambda: bool(log.spans))
    assert log.spans == [Span(since, task.schedule.latest(CLOCK.now()))]


async def test_a_late_worker_records_nothing_under_a_claim_that_it_lost(bench: Bench) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def block() -> None:
        entered.set()
        await go_on.wait()

    late, quick = Log(), Log()
    since = CLOCK.now() - HOUR
    await bench.done(since)
    slow = await bench.runner(late.task(Every(3600), block))
    attempt = slow.start("test.task")
    await entered.wait()
    await bench.row(lease_until=CLOCK.now())  # as if it had stood still for so long
    other = await bench.runner(quick.task(Every(3600)))
    assert await other.start("test.task")
    recorded, _ = await bench.row()
    await bench.row(done_until=since)  # so that it would be seen if the late one wrote
    go_on.set()
    assert not await attempt
    assert await bench.row() == (since, None)
    assert recorded == quick.spans[0].until


async def test_a_lease_is_kept_for_as_long_as_the_work_takes(bench: Bench) -> None:
    over = asyncio.Event()
    log = Log()
    task = log.task(Every(3600), over.wait)
    await bench.done(CLOCK.now() - HOUR)
    one = await bench.runner(task, lease_s=LEASE_S)
    two = await bench.runner(task, lease_s=LEASE_S)
    attempt = one.start(task.name)
    await until(lambda: log.inside == 1)
    asyncio.get_running_loop().call_later(1.5 * LEASE_S, over.set)
    async with at_work(two.poll()):
        assert await attempt
    assert (len(log.spans), log.most) == (1, 1)


async def test_work_is_broken_off_when_the_lease_is_taken(bench: Bench) -> None:
    log = Log()
    entered = asyncio.Event()

    async def block() -> None:
        entered.set()
        await asyncio.Event().wait()

    await bench.done(CLOCK.now() - HOUR)
    runner = await bench.runner(log.task(Every(3600), block), lease_s=1)
    attempt = runner.start("test.task")
    await entered.wait()
    await bench.row(owner="somebody else")
    assert not await asyncio.wait_for(attempt, PATIENT_S)
    assert log.inside == 0
    assert (await bench.row())[1] == "somebody else"


async def test_the_task_of_a_dead_worker_is_taken_over_when_its_lease_is_over(
    bench: Bench,
) -> None:
    log = Log()
    await bench.done(CLOCK.now() - HOUR, owner="run_dead", lease_until=CLOCK.now() + HOUR)
    runner = await bench.runner(log.task(Every(3600)))
    assert not await runner.start("test.task")
    lease = CLOCK.now() + timedelta(seconds=1)
    await bench.row(lease_until=lease)
    async with at_work(runner.poll()):
        await until(lambda: bool(log.spans))
    assert CLOCK.now() >= lease


async def test_a_worker_that_stops_gives_its_task_back_at_once(bench: Bench) -> None:
    entered = asyncio.Event()

    async def block() -> None:
        entered.set()
        await asyncio.Event().wait()

    since = CLOCK.now() - HOUR
    await bench.done(since)
    runner = await bench.runner(Log().task(Every(3600), block))
    attempt = runner.start("test.task")
    await entered.wait()
    await runner.stop()
    assert attempt.cancelled()
    assert await bench.row() == (since, None)
    log = Log()
    assert await (await bench.runner(log.task(Every(3600)))).start("test.task")


@pytest.mark.parametrize("fault", ["error", "time"])
async def test_a_task_that_fails_is_tried_again_after_a_pause(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(runners, "RETRY_S", 0.5)
    tries: list[float] = []

    async def fail_once() -> None:
        tries.append(CLOCK.monotonic())
        if len(tries) == 1:
            if fault == "error":
                raise RuntimeError
            await asyncio.sleep(60)

    log = Log()
    await bench.done(CLOCK.now() - HOUR)
    runner = await bench.runner(log.task(Every(3600), fail_once, time_limit_s=1))
    async with at_work(runner.poll()):
        await until(lambda: bool(log.spans))
    assert len(tries) == 2
    assert tries[1] - tries[0] >= 0.5


async def test_a_new_task_begins_now_and_is_registered_once(bench: Bench) -> None:
    log = Log()
    task = log.task(Every(3600))
    await asyncio.gather(*(register(bench.database, CLOCK, [task]) for _ in range(5)))
    assert await bench.row() == (task.schedule.latest(CLOCK.now()), None)
    await bench.row(done_until=CLOCK.now() - HOUR)
    before = await bench.row()
    await register(bench.database, CLOCK, [task])
    assert await bench.row() == before


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that the test may kill."""
    folder = tmp_path / "redis"
    folder.mkdir()
    yield from running(RedisServer(folder))


async def test_redis_triggers_tasks_and_without_it_they_run_all_the_same(
    bench: Bench, own_redis: RedisServer
) -> None:
    log = Log()
    task = log.task(Every(1))
    await bench.done(CLOCK.now())
    settings = RedisSettings(url=own_redis.url, prefix=new_id("test").replace("_", "-"))
    pair = [await bench.runner(task), await bench.runner(task)]
    queues = [Queue(runner, settings) for runner in pair]

    async def some_more(count: int = 1) -> None:
        seen = len(log.spans)
        await until(lambda: len(log.spans) >= seen + count)

    async with at_work(*(queue.run() for queue in queues)):
        await some_more(2)
        own_redis.wipe()
        await some_more(2)
        own_redis.kill()
        await until(lambda: not any(queue.connected for queue in queues))
        async with at_work(*(runner.poll() for runner in pair)):
            await some_more()
        own_redis.start()
        await until(lambda: any(queue.connected for queue in queues))
        await some_more()
    assert log.most == 1
    assert all(a.until == b.since for a, b in pairwise(log.spans))
