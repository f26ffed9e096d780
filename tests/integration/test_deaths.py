"""A controller is killed at each step of what it does; the next one finishes what it finds.

Each test walks: the first process dies at its first step, the next one clears up after it and dies at
its second, and so on, until one outlives all of its steps. After each death nothing may be held twice
or by nobody, no machine may run without its bunker, and no bunker may be stuck.
"""

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import FINAL, State
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.quotas.drift import GRACE_S
from scaibunker.controller.workers import places
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.domain import Held
from scaibunker.wire.worker.machines import MachineState
from scaibunker.worker.snapshots.store import LocalStore
from scaigrid.idempotency.tables import idempotency_keys
from scaigrid.ids import new_id
from scaigrid.settings import RedisSettings
from tests.integration import mortal
from tests.integration.conftest import Template
from tests.integration.inside import whole
from tests.integration.quotas.books import SMALL, Books
from tests.integration.simulated_worker import TOKEN, SimulatedWorker, beating
from tests.integration.stack import Knobs, Stack
from tests.ports import free_port
from tests.servers import RedisServer, ServerProcess, running
from tests.waiting import until


class Program(ServerProcess):
    """`mortal` in a folder, on a database and a part of a Redis."""

    def __init__(self, folder: Path, database_url: str, redis: RedisSettings) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        environment = {
            "PATH": os.environ["PATH"],
            "SCAIGRID_DATABASE_URL": database_url,
            "SCAIGRID_REDIS_URL": redis.url,
            "SCAIGRID_REDIS_PREFIX": redis.prefix,
            "SCAIGRID_REDIS_TIMEOUT_S": str(redis.timeout_s),
            "SCAIGRID_HTTP_PORT": str(port),
            "SCAIBUNKER_WORKER_TOKEN": TOKEN,
            "SCAIBUNKER_OBJECT_STORE_URL": f"file://{folder / 'objects'}",
            "SCAIBUNKER_RECONCILE_INTERVAL_S": "0.5",
        }
        super().__init__(folder, [sys.executable, mortal.__file__], environment)

    def answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url + mortal.PATH, timeout=30).status_code == 200
        return False

    def last_death(self) -> str:
        """The step at which a process has died last."""
        return (self.folder / mortal.DEATHS).read_text().splitlines()[-1]


@dataclass
class Life:
    """One process, which dies at its step number `last`. `taken`: its steps, if it has outlived them."""

    last: int
    pid: int = 0
    taken: list[str] = field(default_factory=list)
    where: str = "all of its steps"

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Say where it died, if something is wrong with what the block finds."""
        try:
            yield
        except Exception as error:
            raise AssertionError(
                f"killed after {self.where} (step {self.last}): {error!r}"
            ) from error


class MortalStack(Stack):
    """A controller in a process of its own, which dies when it is told to, and is followed by another.
    What is assembled in this process looks into the stores and does background tasks."""

    program: Program

    async def start(self) -> None:
        """Begin with a process that knows nothing of what was before."""
        self.assemble()
        # No connection outlives a request: it could be one to a process that has died since.
        self.client = httpx.AsyncClient(
            base_url=self.program.url, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)
        )
        pid = (await self.client.get(mortal.PATH)).json()["pid"]
        os.kill(pid, signal.SIGKILL)

    async def stop(self) -> None:
        await self.client.aclose()
        await self.grid.live.close()
        await self.grid.database.close()

    async def lives(self, stride: int = 1) -> AsyncIterator[Life]:
        """One after the other, each with a step more than the one before it, until one has no more; or with
        so many more, where a death costs much."""
        life = Life(1 - stride)
        while not life.taken:
            life = Life(life.last + stride)
            yield life

    @contextlib.asynccontextmanager
    async def led(self, life: Life) -> AsyncIterator[None]:
        """Count the steps of what the block begins. When it ends the process has died, or it does
        nothing more."""
        life.pid = (await self.client.post(mortal.PATH, params={"last": life.last})).json()["pid"]
        yield
        await until(lambda: self._is_over(life), what=lambda: f"the end of {life}")

    async def _is_dead(self, life: Life) -> bool:
        with contextlib.suppress(httpx.TransportError):
            found = (await self.client.get(mortal.PATH)).json()
            return bool(found["pid"] != life.pid)
        return False

    async def _is_over(self, life: Life) -> bool:
        with contextlib.suppress(httpx.TransportError):
            found = (await self.client.get(mortal.PATH)).json()
            if found["pid"] != life.pid:
                life.where = self.program.last_death()
                return True
            if found["idle"]:
                life.taken = found["taken"]
                await self.client.post(mortal.PATH, params={"last": 0})
                return True
        return False

    async def dying(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """A request to a process that may die before it answers."""
        try:
            return await self.call(method, path, **options)
        except httpx.TransportError:
            return None

    async def task(self, name: str) -> None:
        """Have a process do a background task, in which it may die."""
        with contextlib.suppress(httpx.TransportError):
            (await self.client.post(f"{mortal.PATH}/{name}")).raise_for_status()


@pytest.fixture(scope="module")
def redis_settings(redis_server: RedisServer) -> RedisSettings:
    """A busy machine is no outage of Redis."""
    prefix = new_id("test").replace("_", "-")
    return RedisSettings(url=redis_server.url, prefix=prefix, timeout_s=10)


@pytest.fixture(scope="module")
def program(
    tmp_path_factory: pytest.TempPathFactory,
    mariadb_template: Template,
    redis_settings: RedisSettings,
) -> Iterator[Program]:
    """One database will do: what a process leaves is decided by its transactions."""
    folder = tmp_path_factory.mktemp("mortal")
    database = mariadb_template.store.copy(folder)
    yield from running(Program(folder, database.url, redis_settings))


@pytest.fixture
async def stack(
    program: Program,
    mariadb_template: Template,
    redis_settings: RedisSettings,
    worker: SimulatedWorker,
) -> AsyncIterator[MortalStack]:
    """It begins with nothing but a worker."""
    database = mariadb_template.store.copy(program.folder)
    made = MortalStack(program.folder, database, redis_settings, mariadb_template.keys, Knobs())
    made.program = program
    await made.start()
    await Books(made).wipe()
    await worker.beat(made.client)
    yield made
    await made.stop()


AT_REST = {
    *((each, each, False) for each in (State.RUNNING.value, State.PAUSED.value)),
    (State.PAUSED.value, Desired.PASSIVATED.value, True),
}
"""What a bunker that lives is, what is wanted of it, and whether it sleeps, if there is nothing to do about
it."""


class Scene:
    """The product, and what must be so in it."""

    def __init__(self, stack: MortalStack, worker: SimulatedWorker) -> None:
        self.stack = stack
        self.hears: Stack = stack
        self.workers = [worker]
        self.books = Books(stack)

    async def beat(self) -> None:
        for worker in self.workers:
            await worker.beat(self.hears.client)

    async def settled(self) -> set[str]:
        """The bunkers that live, once none is on its way to something else."""
        alive: set[str] = set()
        shown: list[Any] = []

        async def nothing_moves() -> bool:
            await self.beat()
            c = bunkers.c
            async with self.stack.grid.database.read() as db:
                rows = await db.rows(
                    whole(
                        select(c.id, c.status, c.desired, c.passivated).where(
                            c.status.not_in(FINAL)
                        )
                    )
                )
            shown[:] = rows
            alive.clear()
            alive.update(row["id"] for row in rows)
            return all(
                (row["status"], row["desired"], row["passivated"]) in AT_REST for row in rows
            )

        await until(nothing_moves, what=lambda: f"no bunker to be stuck: {shown}")
        return alive

    async def a_minute_later(self) -> None:
        """Background workers do what is due when nobody can be at a create of before any more."""
        client, key = self.stack.grid.live.client, self.stack.grid.live.key
        async for name in client.scan_iter(key("quota", "bunker", "*")):
            await client.hincrby(name, "at", -GRACE_S - 1)
        async for name in client.scan_iter(key("quota", "resized", "*")):
            await client.delete(name)
        await self.stack.run_task("scaibunker.mend_holds")
        # A hold of nobody is all that a death may leave.
        assert [self.mended(kind) for kind in ("missing", "counter", "place")] == [0, 0, 0]

    def mended(self, kind: str) -> float:
        """How much of that kind the tasks that ran in this process have mended."""
        registry = self.stack.grid.metrics.registry
        return registry.get_sample_value("scaibunker_quota_drift_total", {"kind": kind}) or 0

    async def agrees(self, alive: set[str]) -> None:
        """Rows, counters, places and machines know these bunkers and no others."""
        assert await self.settled() == alive
        await self.beat()
        assert {each for worker in self.workers for each in worker.machines} == alive
        await self.books.agree()
        assert set(await self.books.counters.stashes()) == alive
        op = self.books.op
        async with self.stack.grid.database.read() as db:
            rows = await places.held_by_rows(op, db)
            said = {each: s.held for each, s in (await workers.standings(op, db, None)).items()}
        assert said == {each: rows.get(each, Held()) for each in said}
        assert sum(held.bunkers for held in said.values()) == len(alive)

    async def lease_is_over(self) -> None:
        """Nobody works on the requests of a process that died half a minute ago."""
        at = self.stack.grid.clock.now() - timedelta(seconds=1)
        async with self.stack.grid.database.write() as db:
            await db.execute(whole(update(idempotency_keys)).values(lease_until=at))

    async def lock_is_over(self) -> None:
        """Who counted anew has not said for some time that it still does."""
        await self.stack.grid.live.client.delete(self.stack.grid.live.key("quota", "rebuild"))

    async def end(self, alive: set[str]) -> None:
        """End what lives: nothing is held any more."""
        for bunker_id in alive:
            record = await self.stack.data_of("DELETE", f"/bunkers/{bunker_id}")
            assert record["status"] == "terminated"
        await self.agrees(set())
        assert await self.books.counters.counted() == {}


@pytest.fixture
def scene(stack: MortalStack, worker: SimulatedWorker) -> Scene:
    return Scene(stack, worker)


BORN = {"HOLD", "PUT /v1/machines/bnk"}
GONE = {"LET_GO", "DELETE /v1/machines/bnk"}


def commits(life: Life, table: str) -> int:
    """How many transactions a process has made that write to a table."""
    return sum(f" {table}," in f"{step}," for step in life.taken)


async def test_a_create_that_is_sent_again(stack: MortalStack, scene: Scene) -> None:
    """Under the same key it makes one bunker, and what died holding its only place is no hindrance."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async for life in stack.lives():
        create = {"json": SMALL, "headers": {"Idempotency-Key": f"key-{life.last}"}}
        async with stack.led(life):
            first = await stack.dying("POST", "/bunkers", **create)
        with life.named():
            await scene.lease_is_over()
            again = await stack.data_of("POST", "/bunkers", **create)
            if first is not None:
                assert first.json()["data"]["id"] == again["id"]
            await scene.agrees({again["id"]})
            await scene.end({again["id"]})
    assert set(life.taken) >= BORN
    assert commits(life, "scaibunker_bunkers") == 3
    assert commits(life, "idempotency_keys") == 2


async def test_a_create_that_is_given_up(stack: MortalStack, scene: Scene) -> None:
    """What was begun is finished or left, and the place in the quota is free in the end if it is left."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async for life in stack.lives():
        async with stack.led(life):
            answer = await stack.dying("POST", "/bunkers", json=SMALL)
        with life.named():
            alive = await scene.settled()
            if answer is not None:
                assert alive == {answer.json()["data"]["id"]}
            await scene.a_minute_later()
            await scene.agrees(alive)
            another = await stack.call("POST", "/bunkers", json=SMALL)
            assert another.status_code == (429 if alive else 201), another.text
            await scene.end(await scene.settled())
    assert set(life.taken) >= BORN


async def test_the_end_of_a_bunker(stack: MortalStack, scene: Scene) -> None:
    """Once it has begun it needs no word from the client. One who asks again is told when nothing is held
    any more, though whoever ended it died before Redis was told."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        async with stack.led(life):
            answer = await stack.dying("DELETE", f"/bunkers/{bunker_id}")
        with life.named():
            alive = await scene.settled()
            if answer is not None:
                assert answer.json()["data"]["status"] == "terminated"
                assert not alive
            await scene.end({bunker_id})
    assert set(life.taken) >= GONE
    assert commits(life, "scaibunker_bunkers") == 2


async def test_an_end_whose_client_has_gone(stack: MortalStack, scene: Scene) -> None:
    """What it leaves held is nobody's in a minute."""
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        async with stack.led(life):
            await stack.dying("DELETE", f"/bunkers/{bunker_id}")
        with life.named():
            alive = await scene.settled()
            assert alive <= {bunker_id}
            await scene.a_minute_later()
            await scene.agrees(alive)
            await scene.end(alive)


async def test_a_create_that_makes_the_counters_anew(stack: MortalStack, scene: Scene) -> None:
    """Redis was wiped; the bunker that was there counts whoever gets how far with counting it."""
    await scene.books.cap(max_concurrent_bunkers=2)
    old = (await stack.create(**SMALL))["id"]
    async for life in stack.lives():
        await scene.books.wipe()
        create = {"json": SMALL, "headers": {"Idempotency-Key": f"key-{life.last}"}}
        async with stack.led(life):
            await stack.dying("POST", "/bunkers", **create)
        with life.named():
            await scene.lease_is_over()
            await scene.lock_is_over()
            new = (await stack.data_of("POST", "/bunkers", **create))["id"]
            refused = await stack.call("POST", "/bunkers", json=SMALL)
            assert refused.status_code == 429, refused.text
            await scene.agrees({old, new})
            await stack.data_of("DELETE", f"/bunkers/{new}")
    assert set(life.taken) >= BORN | {"CLEAR", "PUT_BACK", "GO_ON", "FINISH"}
    assert commits(life, "scaibunker_quota_epoch") == 1


async def test_a_create_that_its_first_worker_cannot_build(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """It goes to another one, and no machine stays behind."""
    worker.boot = "failed"
    async with other_worker() as other:
        scene.workers.append(other)
        async for life in stack.lives():
            await scene.beat()
            async with stack.led(life):
                answer = await stack.dying("POST", "/bunkers", json=SMALL)
            with life.named():
                alive = await scene.settled()
                assert set(other.machines) == alive
                if answer is not None:
                    assert alive == {answer.json()["data"]["id"]}
                await scene.a_minute_later()
                await scene.agrees(alive)
                await scene.end(alive)
    assert commits(life, "scaibunker_workers") == 2


@contextlib.asynccontextmanager
async def other_worker() -> AsyncIterator[SimulatedWorker]:
    """One that is chosen second."""
    made = SimulatedWorker("wrk_another")
    await made.start()
    yield made
    await made.stop()


async def test_a_pause_and_a_resume(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """What was begun comes to its end: the machine is what the row says."""
    bunker_id = (await stack.create(**SMALL))["id"]
    async for life in stack.lives():
        async with stack.led(life):
            for verb in ("pause", "resume"):
                if await stack.dying("POST", f"/bunkers/{bunker_id}/{verb}") is None:
                    break
        with life.named():
            await scene.agrees({bunker_id})
            status = await stack.status(bunker_id)
            assert worker.machines[bunker_id].state == status
            if status == "paused":
                await stack.data_of("POST", f"/bunkers/{bunker_id}/resume")
    assert life.taken.count("PUT /v1/machines/bnk/power") >= 2


PERSISTENT = {**SMALL, "lifecycle_mode": "persistent"}


@pytest.fixture
def sleeper(stack: MortalStack, scene: Scene, worker: SimulatedWorker) -> "Sleeper":
    folder = stack.program.folder / "objects/scaibunker/snapshots"
    worker.snapshots.store = LocalStore(folder)  # storage does not die with the controller
    return Sleeper(stack, scene)


@dataclass
class Sleeper:
    """A bunker that falls asleep and is woken."""

    stack: MortalStack
    scene: Scene

    async def idle(self, bunker_id: str) -> None:
        """Nobody has used it for long."""
        long_ago = self.stack.grid.clock.now() - timedelta(days=1)
        this = update(bunkers).where(bunkers.c.id == bunker_id)
        async with self.stack.grid.database.write() as db:
            await db.execute(whole(this.values(last_activity_at=long_ago)))

    async def asleep_or_dead(self, bunker_id: str, life: Life) -> None:
        async def either() -> bool:
            await self.idle(bunker_id)  # what used it last may be written only now
            return await self.stack._is_dead(life) or await self.is_asleep(bunker_id)

        await until(either)

    async def asleep(self, bunker_id: str) -> None:
        """Wait until it is; then nothing runs, and what is held is what sleeps."""

        async def is_so() -> bool:
            await self.idle(bunker_id)
            await self.scene.beat()
            return await self.is_asleep(bunker_id)

        await until(is_so)
        await self.scene.beat()
        assert not any(worker.machines for worker in self.scene.workers)
        await self.scene.a_minute_later()
        await self.scene.books.agree()

    async def is_asleep(self, bunker_id: str) -> bool:
        query = select(bunkers.c.passivated).where(bunkers.c.id == bunker_id)
        async with self.stack.grid.database.read() as db:
            return bool(await db.value(whole(query)))

    async def awake(self, bunker_id: str) -> None:
        """Whoever uses it wakes it; then nothing of its sleep is left."""
        async with beating(self.scene.workers[0], self.stack.client):
            path, body = f"/bunkers/{bunker_id}/exec", {"command": "hello"}
            done = await self.stack.data_of("POST", path, json=body)
        assert done["stdout"] == "hello"
        await self.scene.agrees({bunker_id})


async def test_a_bunker_that_falls_asleep(
    stack: MortalStack, scene: Scene, sleeper: Sleeper, worker: SimulatedWorker
) -> None:
    """It sleeps in the end, and there is one of it all the time."""
    bunker_id = (await stack.create(**PERSISTENT))["id"]
    async for life in stack.lives(4):
        async with stack.led(life):
            await sleeper.asleep_or_dead(bunker_id, life)
        with life.named():
            await sleeper.asleep(bunker_id)
            await sleeper.awake(bunker_id)
    assert "RESIZE" in life.taken
    assert "POST /v1/machines/bnk/snapshot" in life.taken
    assert commits(life, "scaibunker_bunkers") >= 5


async def test_a_bunker_that_is_woken(
    stack: MortalStack, scene: Scene, sleeper: Sleeper, worker: SimulatedWorker
) -> None:
    """What was begun is finished, whoever asks for it."""
    bunker_id = (await stack.create(**PERSISTENT))["id"]
    async for life in stack.lives(3):
        await sleeper.asleep(bunker_id)
        async with stack.led(life):
            await stack.dying("POST", f"/bunkers/{bunker_id}/resume")
        with life.named():
            await sleeper.awake(bunker_id)
    assert "RESIZE" in life.taken
    assert "PUT /v1/machines/bnk" in life.taken
    assert commits(life, "scaibunker_bunkers") >= 4


async def test_a_bunker_whose_machine_is_lost(
    stack: MortalStack, scene: Scene, worker: SimulatedWorker
) -> None:
    """Whoever hears of it dies."""
    async for life in stack.lives():
        bunker_id = (await stack.create(**SMALL))["id"]
        worker.become(bunker_id, MachineState.FAILED, "the kernel panicked")
        async with stack.led(life):
            with contextlib.suppress(httpx.TransportError):
                await worker.beat(stack.client)
        with life.named():
            async with beating(worker, stack.client):
                await stack.until_status(bunker_id, "failed")
            await scene.a_minute_later()
            await scene.end(set())
    assert set(life.taken) >= GONE


async def test_a_life_beside_a_replica_that_goes_on(stack: MortalStack, scene: Scene) -> None:
    """Either does the next step, whoever comes to it first; the worker reports to the one that lives."""
    await scene.books.cap(max_concurrent_bunkers=1)
    async with replica(stack) as other:
        scene.hears = other
        async for life in stack.lives():
            async with stack.led(life):
                made = await stack.dying("POST", "/bunkers", json=SMALL)
                if made is not None:
                    bunker_id = made.json()["data"]["id"]
                    await other.until_status(bunker_id, "running")
                    await stack.dying("DELETE", f"/bunkers/{bunker_id}")
            with life.named():
                alive = await scene.settled()
                await scene.a_minute_later()
                await scene.agrees(alive)
                await scene.end(alive)
    assert "HOLD" in life.taken
    assert commits(life, "scaibunker_bunkers") >= 2


@contextlib.asynccontextmanager
async def replica(stack: Stack) -> AsyncIterator[Stack]:
    """Another controller, in this process."""
    made = Stack(stack.data, stack.database_settings, stack.redis_settings, stack.keys, Knobs())
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


class TestBackgroundTasks:
    """What they begin is finished by the next one that does them."""

    async def test_ending_what_has_lived_long_enough(
        self, stack: MortalStack, scene: Scene
    ) -> None:
        async for life in stack.lives():
            bunker_id = (await stack.create(**SMALL))["id"]
            async with stack.led(life):
                async with stack.grid.database.write() as db:
                    await db.execute(whole(update(bunkers)).values(expires_at=bunkers.c.created_at))
                await stack.task("scaibunker.sweep_timeouts")
            with life.named():
                await stack.run_task("scaibunker.sweep_timeouts")
                await stack.until_status(bunker_id, "terminated")
                await scene.a_minute_later()
                await scene.end(set())
        assert set(life.taken) >= GONE
        assert commits(life, "scaibunker_bunkers") >= 2  # the reconciler's timer may see it too

    async def test_mending_what_was_counted(self, stack: MortalStack, scene: Scene) -> None:
        bunker_id = (await stack.create(**SMALL))["id"]
        counters = scene.books.counters
        client, key = stack.grid.live.client, stack.grid.live.key
        async for life in stack.lives():
            [stash] = (await counters.stashes()).values()
            await client.rename(key("quota", "bunker", bunker_id), key("quota", "bunker", "bnk_x"))
            await client.hset(key("quota", "bunker", "bnk_x"), "at", stash.at - GRACE_S - 1)
            async with stack.led(life):
                await stack.task("scaibunker.mend_holds")
            with life.named():
                await stack.run_task("scaibunker.mend_holds")
                await scene.agrees({bunker_id})
        assert set(life.taken) >= {"PUT_BACK", "LET_GO"}
