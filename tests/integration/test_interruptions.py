"""A controller that could not listen for a while blames no worker for it."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from scaibunker.controller.bunkers import repository
from scaibunker.wire.worker.machines import MachineState
from scaigrid.operation import system_operation
from tests.integration.conftest import Template, prepared
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Knobs, Stack
from tests.integration.stores import MariaDbStore
from tests.servers import MariaDb, running
from tests.waiting import until

INTERVAL_S = 1.0
OFFLINE_S = 3 * INTERVAL_S


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=INTERVAL_S, request_timeout_s=2, provision_timeout_s=4)


async def being_built(stack: Stack, worker: SimulatedWorker) -> str:
    """A bunker whose machine does not come up."""
    worker.boot = "building"
    bunker = str((await stack.create(wait=False))["id"])
    await until(lambda: bunker in worker.machines)
    return bunker


async def goes_on(stack: Stack, worker: SimulatedWorker, bunker: str) -> None:
    """All is as it was: the worker is there, and the bunker becomes what it was to become."""
    passes = stack.controller.reconciler
    for _ in range(2):
        passes.hint(bunker)
        await until(lambda: bunker not in passes.at_work)
        [shown] = await stack.data_of("GET", "/workers", "super_admin")
        assert shown["status"] == "online"
        assert await stack.status(bunker) == "provisioning"
        await worker.beat(stack.client)  # it is not silent for long
    worker.become(bunker, MachineState.RUNNING)
    async with beating(worker, stack.client):
        await stack.until_status(bunker, "running", "failed", "pending")
    op = system_operation("tests", stack.grid.clock)
    async with stack.grid.database.read() as db:
        history = await repository.changes(op, db, bunker, 0)
    assert [change.status.value for change in history] == ["pending", "provisioning", "running"]


async def test_a_controller_that_stood_still(stack: Stack, worker: SimulatedWorker) -> None:
    """As one that was stopped with SIGSTOP and goes on: longer than a worker may be silent, and
    than a machine may take."""
    bunker = await being_built(stack, worker)
    time.sleep(stack.knobs.provision_timeout_s + 1)  # no loop of its turns
    await goes_on(stack, worker, bunker)


class TestDatabaseAway:
    @pytest.fixture(scope="class")
    @classmethod
    def own_server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
        yield from running(MariaDb(tmp_path_factory.mktemp("own-mariadb")))

    @pytest.fixture(scope="class")
    @classmethod
    def template(cls, own_server: MariaDb) -> Template:
        return prepared(MariaDbStore(own_server))

    async def test_an_outage_is_no_silence(
        self, stack: Stack, worker: SimulatedWorker, own_server: MariaDb
    ) -> None:
        bunker = await being_built(stack, worker)
        own_server.kill()
        away = time.monotonic()
        report = worker.heartbeat()
        refused = await worker.send(stack.client, report)
        assert refused.status_code == 503
        await asyncio.sleep(max(0.0, OFFLINE_S + 2 - (time.monotonic() - away)))
        await asyncio.to_thread(own_server.start)
        await until(lambda: _ready(stack))
        await goes_on(stack, worker, bunker)

    async def test_a_worker_that_is_silent_after_it_is_lost_in_the_end(
        self, stack: Stack, worker: SimulatedWorker, own_server: MariaDb
    ) -> None:
        bunker = await being_built(stack, worker)
        own_server.kill()
        await asyncio.sleep(OFFLINE_S)
        await asyncio.to_thread(own_server.start)
        await worker.stop()
        await stack.until_status(bunker, "pending", "failed")
        [shown] = await stack.data_of("GET", "/workers", "super_admin")
        assert shown["status"] == "offline"


async def _ready(stack: Stack) -> bool:
    return (await stack.call("GET", "/health/ready", None)).status_code == 200
