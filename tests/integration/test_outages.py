"""MariaDB and Redis die, hang and forget while requests are under way: the API recovers by itself, and
has what it had acknowledged."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scaibunker.wire.worker.heartbeat import Capacity
from scaigrid.audit.recorder import DURABLE_S
from scaigrid.db import Database
from scaigrid.db.batch import WAIT_S
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.db.mariadb import HUNG_AFTER_S
from scaigrid.settings import DatabaseSettings, RedisSettings
from tests.integration.conftest import Template, prepared
from tests.integration.people import id_of
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Knobs, Stack, error_of
from tests.integration.stores import MariaDbStore
from tests.integration.world import UNLIMITED
from tests.servers import MariaDb, RedisServer, running
from tests.waiting import LoopTime, loop_time, until

BUSY_S, STATEMENT_S = 1.0, 1.0
"""Limits of the stack under test."""
HUNG_S = max(BUSY_S, STATEMENT_S) + HUNG_AFTER_S
"""When a server counts as hung by them."""
AT_THE_LATEST_S = BUSY_S + 3 * HUNG_S + WAIT_S + DURABLE_S
"""Within which every request is answered (`LoopTime`): a turn for a connection; on a server that hangs
the beginning of a transaction, a statement and the rollback; a write in the queue, and the audit log's.
A server that is gone is asked again for `retry_s`, which is less."""
PATIENCE_S = 40
"""How long these tests wait for what must come."""


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(rate_limits=UNLIMITED, heartbeat_interval_s=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    yield from running(MariaDb(tmp_path_factory.mktemp("own-mariadb")))


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running(RedisServer(tmp_path_factory.mktemp("own-redis")))


@pytest.fixture(scope="module")
def template(server: MariaDb) -> Template:
    return prepared(MariaDbStore(server))


@pytest.fixture
async def bare(
    template: Template, own_redis: RedisServer, tmp_path: Path, knobs: Knobs
) -> AsyncIterator[Stack]:
    data = tmp_path / "data"
    limits = {"busy_timeout_s": BUSY_S, "statement_timeout_s": STATEMENT_S}
    settings = template.store.copy(data).model_copy(update=limits)
    stack = Stack(data, settings, RedisSettings(url=own_redis.url), template.keys, knobs)
    await stack.start()
    yield stack
    await stack.stop()


class Load:
    """Callers of several kinds, who note what they were promised and how long they waited."""

    def __init__(self, stack: Stack, bunker: str, user_id: str, clock: LoopTime) -> None:
        self.stack = stack
        self.clock = clock
        self.promised: dict[str, list[str]] = {"bunker": [], "exec": [], "key": [], "user": []}
        self.refused = dict.fromkeys(self.promised, 0)
        self.faults: list[str] = []
        self.longest_s = 0.0
        self._bunker = bunker
        self._user_id = user_id
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        kinds: list[tuple[str, Callable[[int], Awaitable[httpx.Response]], str]] = [
            ("bunker", self._bunkers, "id"),
            ("exec", self._execs, "exec_id"),
            ("key", self._keys, "id"),
            ("user", self._users, "id"),
        ]
        self._tasks = [
            asyncio.create_task(self._go_on(kind, lane, ask, field))
            for kind, ask, field in kinds
            for lane in range(2)
        ]

    async def stop(self) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def _go_on(
        self, kind: str, lane: int, ask: Callable[[int], Awaitable[httpx.Response]], field: str
    ) -> None:
        count = lane
        while not self._over.is_set():
            count += 2
            begun = self.clock.seconds
            answer = await ask(count)
            self.longest_s = max(self.longest_s, self.clock.seconds - begun)
            if answer.status_code < 300:
                self.promised[kind].append(answer.json()["data"][field])
                await asyncio.sleep(0.1)
                continue
            self.refused[kind] += 1
            if answer.status_code != 503:
                self.faults.append(f"{kind}: {answer.status_code} {answer.text}")

    def _bunkers(self, count: int) -> Awaitable[httpx.Response]:
        fields = {"image": "debian-12", "name": f"b{count}", "memory_mb": 64}
        return self.stack.call("POST", "/bunkers", json=fields)

    def _execs(self, _: int) -> Awaitable[httpx.Response]:
        return self.stack.call("POST", f"/bunkers/{self._bunker}/exec", json={"command": "x"})

    def _keys(self, count: int) -> Awaitable[httpx.Response]:
        body = {"name": f"k{count}", "user_id": self._user_id}
        return self.stack.call("POST", "/v1/api-keys", "super_admin", json=body)

    def _users(self, count: int) -> Awaitable[httpx.Response]:
        return self.stack.call("POST", "/v1/users", "super_admin", json={"name": f"u{count}"})

    def counts(self) -> dict[str, int]:
        return {kind: len(found) for kind, found in self.promised.items()}

    def grew(self, since: dict[str, int], by: int = 3) -> bool:
        return all(len(found) >= since[kind] + by for kind, found in self.promised.items())

    async def check(self) -> None:
        """Everything that was promised is there, and every request was answered in time."""
        assert not self.faults, "\n".join(self.faults[:20])
        assert self.longest_s < AT_THE_LATEST_S
        stack, path = self.stack, f"/bunkers/{self._bunker}/execs"
        assert set(self.promised["bunker"]) <= set(await ids(stack, "/bunkers", "super_admin"))
        ran = {e["exec_id"]: e["state"] for e in await everyone(stack, path, "super_admin")}
        assert {ran[each] for each in self.promised["exec"]} <= {"exited"}
        keys = await ids(stack, "/v1/api-keys", "super_admin", user_id=self._user_id)
        assert set(self.promised["key"]) <= set(keys)
        assert set(self.promised["user"]) <= set(await ids(stack, "/v1/users", "super_admin"))
        logged = await everyone(stack, "/v1/audit-log", "super_admin", outcome="success")
        told = {entry["resource_id"] for entry in logged}
        assert set(self.promised["bunker"]) | set(self.promised["user"]) <= told


async def everyone(stack: Stack, path: str, who: str, **query: Any) -> list[dict[str, Any]]:
    """All pages of a listing."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await stack.call("GET", path, who, params={"limit": 200, **query})
        page = answer.json()
        found += page["data"]
        if not page["has_more"]:
            return found
        query["cursor"] = page["next_cursor"]


async def ids(stack: Stack, path: str, who: str, **query: Any) -> list[str]:
    return [str(each["id"]) for each in await everyone(stack, path, who, **query)]


async def is_ready(stack: Stack) -> bool:
    return (await stack.call("GET", "/health/ready", None)).status_code == 200


@pytest.fixture
async def load(stack: Stack, worker: SimulatedWorker) -> AsyncIterator[Load]:
    """At work, and the worker beats."""
    worker.capacity = Capacity(cpu_millicores=10**9, memory_mb=10**9, disk_mb=10**9)
    await worker.beat(stack.client)
    user_id = await id_of(stack, "user")
    async with beating(worker, stack.client), loop_time() as clock:
        made = Load(stack, str((await stack.create())["id"]), user_id, clock)
        made.start()
        await until(lambda: made.grew(dict.fromkeys(made.promised, 0)))
        yield made
        await made.stop()


async def goes_on(load: Load) -> None:
    """All kinds of requests are served again; then what was promised is looked for."""
    before = load.counts()
    await until(
        lambda: load.grew(before), PATIENCE_S, lambda: f"more than {before}: {load.counts()}"
    )
    await load.stop()
    await load.check()
    assert await is_ready(load.stack)


async def test_mariadb_is_killed_and_comes_back(load: Load, server: MariaDb) -> None:
    server.kill()
    before = dict(load.refused)
    await until(lambda: all(load.refused[k] > before[k] for k in before), PATIENCE_S)
    assert not await is_ready(load.stack)
    await asyncio.to_thread(server.start)
    await goes_on(load)


async def test_mariadb_hangs_and_goes_on(load: Load, server: MariaDb) -> None:
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        before = dict(load.refused)
        await until(lambda: all(load.refused[k] > before[k] for k in before), PATIENCE_S)
        begun = load.clock.seconds
        answer = await load.stack.call("GET", "/bunkers")
        assert error_of(answer) == (503, "DATABASE_UNAVAILABLE")
        assert load.clock.seconds - begun < AT_THE_LATEST_S
    finally:
        process.send_signal(signal.SIGCONT)
    await goes_on(load)
    # What was given up has left no connections behind.
    settings = load.stack.database_settings
    open_now = "SELECT COUNT(*) FROM information_schema.processlist WHERE user='root'"
    most = settings.pool_size + settings.write_pool_size + 1
    await until(lambda: int(server.sql(open_now)) <= most)


async def test_a_server_that_never_greets_is_given_up() -> None:
    accepted = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    settings = DatabaseSettings(
        url=f"mariadb://u:p@127.0.0.1:{port}/x",
        busy_timeout_s=0.2,
        statement_timeout_s=0.2,
        retry_s=0,
    )
    database = Database(settings)
    try:
        async with asyncio.timeout(4 * PATIENCE_S), loop_time() as clock:
            with pytest.raises(DatabaseUnavailable):
                await database.ping()
            with pytest.raises(DatabaseUnavailable):
                await database.apply(lambda c: None)
            assert clock.seconds < AT_THE_LATEST_S
        assert accepted
    finally:
        await database.close()
        for writer in accepted:
            writer.close()
        listener.close()


@pytest.mark.parametrize("fault", ["killed", "hung", "wiped", "full", "read-only"])
async def test_redis_is_of_no_account(load: Load, own_redis: RedisServer, fault: str) -> None:
    process = own_redis._process
    assert process is not None
    refused = dict(load.refused)
    match fault:
        case "killed":
            own_redis.kill()
        case "hung":
            process.send_signal(signal.SIGSTOP)
        case "wiped":
            own_redis.wipe()
        case "full":
            own_redis.command("CONFIG", "SET", "maxmemory", "1")
        case "read-only":
            own_redis.command("REPLICAOF", "127.0.0.1", "1")
    try:
        before = load.counts()
        begun = load.clock.seconds
        await until(lambda: load.grew(before, 5), PATIENCE_S)
        assert load.refused == refused  # nobody is told of it
        assert await is_ready(load.stack)
        assert load.clock.seconds - begun < 15
    finally:
        match fault:
            case "killed":
                await asyncio.to_thread(own_redis.start)
            case "hung":
                process.send_signal(signal.SIGCONT)
            case "full":
                own_redis.command("CONFIG", "SET", "maxmemory", "0")
            case "read-only":
                own_redis.command("REPLICAOF", "NO", "ONE")
    await goes_on(load)
    shown: dict[str, Any] = {}

    async def redis_is_well() -> bool:
        shown.update(await load.stack.data_of("GET", "/health/detailed", "super_admin"))
        return bool(shown["health"] == "ok")

    await until(redis_is_well, PATIENCE_S, lambda: shown)
