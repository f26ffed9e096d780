"""A controller that dies, and the scene after it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from scaigrid.ids import new_id
from scaigrid.settings import RedisSettings
from tests.integration.conftest import Template
from tests.integration.deaths.lives import MortalStack, Program
from tests.integration.deaths.scene import Scene
from tests.integration.quotas.books import Books
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs
from tests.servers import RedisServer, running
from tests.waiting import PATIENT_S


@pytest.fixture(scope="module")
def redis_settings(redis_server: RedisServer) -> RedisSettings:
    """A busy host is no outage of Redis."""
    prefix = new_id("test").replace("_", "-")
    return RedisSettings(url=redis_server.url, prefix=prefix, timeout_s=PATIENT_S)


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


@pytest.fixture
def scene(stack: MortalStack, worker: SimulatedWorker) -> Scene:
    return Scene(stack, worker)
