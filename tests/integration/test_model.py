"""Random operations and crashes, beside a model of what must be: states, quotas and places.

One thing happens after the other, so that the model knows what each create must be answered; what a
crash interrupts is a matter of other tests. After each step rows, counters and places must say what
the model says.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.lifecycle import FINAL, TRANSITIONS, State
from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.domain import Resource
from scaibunker.controller.workers import places
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.domain import Held
from scaibunker.wire.worker.heartbeat import Capacity
from scaigrid.ids import new_id
from scaigrid.settings import RedisSettings
from tests.integration.conftest import Template
from tests.integration.quotas.books import Books
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack
from tests.servers import RedisServer
from tests.waiting import PATIENT_S, until

CAP, CAP_PERSISTENT, CAP_MEMORY = 5, 2, 1000
CAPACITY = Capacity(cpu_millicores=16_000, memory_mb=900, disk_mb=65_536)
MOVES = {(source, target) for (source, _), target in TRANSITIONS.items()}


@dataclass(frozen=True)
class Create:
    memory_mb: int
    persistent: bool


@dataclass(frozen=True)
class OnOne:
    """Something that is done to one of the bunkers there are, by its place among them."""

    verb: Literal["end", "pause", "resume", "die"]
    place: int


@dataclass(frozen=True)
class Once:
    """Something that happens to all."""

    event: Literal["wipe", "restart", "crash", "drain", "undrain", "mend", "host restarts", "sweep"]


Step = Create | OnOne | Once
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Create, memory_mb=st.sampled_from([64, 200, 400]), persistent=st.booleans()),
    st.builds(
        OnOne,
        verb=st.sampled_from(["end", "end", "pause", "resume", "die"]),
        place=st.integers(0, CAP - 1),
    ),
    st.builds(
        Once,
        event=st.sampled_from(
            ["wipe", "restart", "crash", "drain", "undrain", "mend", "host restarts", "sweep"]
        ),
    ),
)


@dataclass
class Model:
    """What there must be. `alive`: memory and whether it is persistent, by id, in the order of
    their making."""

    alive: dict[str, tuple[int, bool]] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    draining: bool = False

    @property
    def memory_mb(self) -> int:
        return sum(memory for memory, _ in self.alive.values())

    def answer(self, wanted: Create) -> int:
        """The status that a create must have: quotas are judged before places."""
        persistent = sum(is_persistent for _, is_persistent in self.alive.values())
        if (
            len(self.alive) >= CAP
            or (wanted.persistent and persistent >= CAP_PERSISTENT)
            or self.memory_mb + wanted.memory_mb > CAP_MEMORY
        ):
            return 429
        if self.draining or self.memory_mb + wanted.memory_mb > CAPACITY.memory_mb:
            return 503
        return 201


class Run:
    """The product under the steps of one example."""

    def __init__(
        self, stack: Stack, worker: SimulatedWorker, left_behind: list[asyncio.Task[Any]]
    ) -> None:
        self.stack = stack
        self.worker = worker
        self.model = Model()
        self.bucket = ""
        self.left_behind = left_behind

    async def begin(self) -> None:
        self.worker.capacity = CAPACITY
        await self.worker.beat(self.stack.client)
        self.bucket = await Books(self.stack).cap(
            max_concurrent_bunkers=CAP,
            max_persistent_bunkers=CAP_PERSISTENT,
            max_memory_mb=CAP_MEMORY,
        )

    async def take(self, step: Step) -> None:
        match step:
            case Create():
                await self._create(step)
            case OnOne() if self.model.alive:
                ids = list(self.model.alive)
                await self._on_one(step.verb, ids[step.place % len(ids)])
            case Once():
                await self._once(step.event)

    async def _create(self, wanted: Create) -> None:
        expected = self.model.answer(wanted)
        body = {
            "image": "debian-12",
            "memory_mb": wanted.memory_mb,
            "cpu_millicores": 100,
            "lifecycle_mode": "persistent" if wanted.persistent else "session",
        }
        query = {"wait": "running", "timeout_s": "20"}
        answer = await self.stack.call("POST", "/bunkers", json=body, params=query)
        assert answer.status_code == expected, answer.text
        if expected == 201:
            record = answer.json()["data"]
            assert record["status"] == "running"
            self.model.alive[record["id"]] = (wanted.memory_mb, wanted.persistent)

    async def _on_one(self, verb: str, bunker_id: str) -> None:
        model = self.model
        match verb:
            case "end":
                ended = await self.stack.data_of("DELETE", f"/bunkers/{bunker_id}")
                assert ended["status"] == "terminated"
                self._gone(bunker_id)
            case "pause" | "resume":
                can = (bunker_id in model.paused) is (verb == "resume")
                answer = await self.stack.call("POST", f"/bunkers/{bunker_id}/{verb}")
                assert answer.status_code == (200 if can else 409), answer.text
                if can:
                    (model.paused.add if verb == "pause" else model.paused.discard)(bunker_id)
            case "die":
                del self.worker.machines[bunker_id]
                await self.worker.beat(self.stack.client)
                await self.stack.until_status(bunker_id, "failed")
                self._gone(bunker_id)

    async def _once(self, event: str) -> None:
        stack, model = self.stack, self.model
        match event:
            case "wipe":
                await Books(stack).wipe()
            case "restart":
                await stack.restart()
                await self.worker.beat(stack.client)
            case "crash":
                await self._crash()
                await self.worker.beat(stack.client)
            case "drain" | "undrain":
                model.draining = event == "drain"
                verb = "drain" if model.draining else "resume"
                path = f"/workers/{self.worker.worker_id}/{verb}"
                await stack.data_of("POST", path, "super_admin")
            case "mend":
                await stack.run_task("scaibunker.mend_holds")
            case "sweep":
                await stack.run_task("scaibunker.sweep_timeouts")
                await stack.run_task("scaibunker.monitor_heartbeats")
            case "host restarts":
                lost = list(self.worker.machines)
                self.worker.machines.clear()
                await self.worker.beat(stack.client)
                for bunker_id in lost:
                    await stack.until_status(bunker_id, "failed")
                    self._gone(bunker_id)

    async def _crash(self) -> None:
        """The controller ends without a word to anybody, and another one starts on what it left."""
        # Its tasks are ended with the loop, and by its thread. Those that nobody refers to would be ended by the garbage
        # collector in whichever thread it happens to run, beside the loop, which a Python may not survive.
        self.left_behind.extend(asyncio.all_tasks())
        assert self.stack._server is not None
        self.stack._server.force_exit = True
        await self.stack.restart()

    def _gone(self, bunker_id: str) -> None:
        del self.model.alive[bunker_id]
        self.model.paused.discard(bunker_id)

    async def check(self) -> None:
        """Rows, places, counters and machines say what the model says."""
        stack, model, books = self.stack, self.model, Books(self.stack)
        found = await stack.data_of("GET", "/bunkers")
        live = {each["id"]: each["status"] for each in found if each["status"] not in FINAL}
        expected = {each: "paused" if each in model.paused else "running" for each in model.alive}
        assert live == expected
        assert set(self.worker.machines) == set(model.alive)
        async with stack.grid.database.read() as db:
            held = (await holds.sums(books.op, db, [self.bucket])).get(self.bucket, {})
            said = (await workers.standings(books.op, db, None))[self.worker.worker_id].held
            rows = (await places.held_by_rows(books.op, db)).get(self.worker.worker_id, Held())
        assert held.get(Resource.CONCURRENT_BUNKERS, 0) == len(model.alive)
        assert held.get(Resource.MEMORY_MB, 0) == model.memory_mb
        assert said == rows
        assert (said.bunkers, said.memory_mb) == (len(model.alive), model.memory_mb)
        if await books.counters.epoch() is not None:
            await until(books.agrees, what=lambda: "counters to be what rows are")

    async def end(self) -> None:
        """Everything is ended, nothing is held, and no bunker has taken a way that there is not."""
        stack, books = self.stack, Books(self.stack)
        for bunker_id in list(self.model.alive):
            await self._on_one("end", bunker_id)
        await stack.run_task("scaibunker.mend_holds")
        await self.check()
        assert await books.counters.counted() == {}
        assert await books.counters.stashes() == {}
        for each in await stack.data_of("GET", "/bunkers"):
            async with stack.grid.database.read() as db:
                history = await repository.changes(books.op, db, each["id"], 0)
            ways = {(c.previous, c.status) for c in history if c.previous is not None}
            assert ways <= MOVES
            assert history[0].status is State.PENDING
            assert [c.status in FINAL for c in history].count(True) == 1


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=5, max_size=25))
def test_whatever_happens_everybody_says_the_same(
    sqlite_template: Template,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[Step],
) -> None:
    left_behind: list[asyncio.Task[Any]] = []  # longer than the loop
    folder = tmp_path_factory.mktemp("model")
    asyncio.run(example(sqlite_template, redis_server, folder, steps, left_behind))


async def example(
    template: Template,
    redis_server: RedisServer,
    folder: Path,
    steps: list[Step],
    left_behind: list[asyncio.Task[Any]],
) -> None:
    """One list of steps, on a database of its own."""
    prefix = new_id("test").replace("_", "-")
    redis = RedisSettings(url=redis_server.url, prefix=prefix, timeout_s=PATIENT_S)
    data = folder / "data"
    stack = Stack(data, template.store.copy(data), redis, template.keys, Knobs())
    worker = SimulatedWorker()
    await worker.start()
    await stack.start()
    try:
        run = Run(stack, worker, left_behind)
        await run.begin()
        for step in steps:
            await run.take(step)
            await run.check()
        await run.end()
    finally:
        await stack.stop()
        await worker.stop()
