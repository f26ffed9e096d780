"""A migrated database with its identities is made once; each test gets a copy of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaibunker.controller.bootstrap import SeedImage, bootstrap
from scaibunker.controller.module import MODULE
from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.worker.snapshots.http_store import HttpStore
from scaigrid.auth.service import issue
from scaigrid.clock import SystemClock
from scaigrid.db import Database, migrate
from scaigrid.ids import new_id
from scaigrid.operation import system_operation
from scaigrid.permissions.domain import Role
from scaigrid.settings import DatabaseSettings, RedisSettings
from scaigrid.tenancy import repository as tenancy
from tests.integration.simulated_worker import IMAGE, TOKEN, SimulatedWorker
from tests.integration.stack import Knobs, Stack
from tests.integration.stores import MariaDbStore, SqliteStore, Store
from tests.integration.world import World
from tests.servers import MariaDb, RedisServer, S3Server, running
from tests.waiting import PATIENT_S


@dataclass
class Template:
    """Databases to copy, and the keys that are good in them."""

    store: Store
    keys: dict[str, str]


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    yield from running(MariaDb(tmp_path_factory.mktemp("mariadb")))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running(RedisServer(tmp_path_factory.mktemp("redis")))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from running(S3Server(tmp_path_factory.mktemp("s3")))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return prepared(SqliteStore(tmp_path_factory.mktemp("template")))


@pytest.fixture(scope="session")
def mariadb_template(mariadb_server: MariaDb) -> Template:
    return prepared(MariaDbStore(mariadb_server))


@pytest.fixture(params=["sqlite", "mariadb"])
def template(request: pytest.FixtureRequest) -> Template:
    """Every test that is built on this one runs on both databases."""
    made: Template = request.getfixturevalue(f"{request.param}_template")
    return made


def prepared(store: Store) -> Template:
    """With identities, and nothing else."""
    return Template(store, asyncio.run(_prepare(store.template)))


async def _prepare(settings: DatabaseSettings) -> dict[str, str]:
    """Identities of `dev`, and beside them a foreign tenant."""
    database = Database(settings)
    await migrate.upgrade(database, [MODULE.migrations])
    image = SeedImage("debian-12", "1", IMAGE, 1 << 30, default_memory_mb=256)
    keys = await bootstrap(settings, [image])
    op = system_operation("tests", SystemClock())
    async with database.write() as db:
        tenant = await tenancy.add_tenant(op, db, "elsewhere")
        user = await tenancy.add_user(op, db, tenant.id, "stranger", Role.TENANT_ADMIN)
        _, keys["stranger"] = await issue(op, db, tenant_id=tenant.id, user_id=user.id, name="t")
    await database.close()
    return keys


@pytest.fixture(params=["sqlite", "mariadb"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Without a table, of either kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'x.db'}"
    else:
        url = request.getfixturevalue("mariadb_server").url(new_id("empty"))
    database = Database(DatabaseSettings(url=url))
    yield database
    await database.close()


@pytest.fixture
def knobs() -> Knobs:
    """Settings of the stack; a test module overrides it."""
    return Knobs()


@pytest.fixture
def redis_settings(redis_server: RedisServer) -> RedisSettings:
    """A part of Redis that no other test uses. A busy host is no outage of it."""
    prefix = new_id("test").replace("_", "-")
    return RedisSettings(url=redis_server.url, prefix=prefix, timeout_s=PATIENT_S)


@pytest.fixture
async def bare(
    template: Template, redis_settings: RedisSettings, tmp_path: Path, knobs: Knobs
) -> AsyncIterator[Stack]:
    """A controller that no worker has reported to."""
    data = tmp_path / "data"
    database = template.store.copy(data)
    stack = Stack(data, database, redis_settings, template.keys, knobs)
    await stack.start()
    yield stack
    await stack.stop()


@pytest.fixture
async def worker() -> AsyncIterator[SimulatedWorker]:
    made = SimulatedWorker()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def stack(bare: Stack, worker: SimulatedWorker) -> Stack:
    """A controller with one worker that has reported once."""
    worker.snapshots.store = HttpStore(str(bare.client.base_url), TOKEN)
    await worker.beat(bare.client)
    return bare


@pytest.fixture
async def world(stack: Stack, worker: SimulatedWorker) -> World:
    """Callers and things of every kind, once `build` has been called; with room for many bunkers."""
    worker.capacity = Capacity(cpu_millicores=1_000_000, memory_mb=1_000_000, disk_mb=10_000_000)
    worker.network_profiles.append("transit")
    await worker.beat(stack.client)
    return World(stack, worker)


@pytest.fixture
async def bunker(stack: Stack) -> str:
    """The id of a bunker that runs."""
    return str((await stack.create())["id"])
