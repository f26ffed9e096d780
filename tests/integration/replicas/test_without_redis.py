"""Hints do not arrive: what has to be forgotten is forgotten in time by itself."""

import asyncio
from collections.abc import Iterator

import pytest

from scaibunker.wire.worker.machines import MachineState
from scaigrid.settings import RedisSettings
from tests.integration import people
from tests.integration.replicas.watching import answers
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack
from tests.servers import RedisServer, running
from tests.waiting import A_WHILE_S, loop_time, until


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running(RedisServer(tmp_path_factory.mktemp("own-redis")))


@pytest.fixture
def redis_settings(own_redis: RedisServer) -> RedisSettings:
    return RedisSettings(url=own_redis.url, timeout_s=A_WHILE_S)


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(reconcile_interval_s=0.5, auth_cache_ttl_s=2)


async def test_a_revoked_key_is_refused_when_it_is_looked_at_again(
    stack: Stack, other: Stack, own_redis: RedisServer
) -> None:
    spare = await people.key(stack, "spare", await people.id_of(stack, "user"))
    other.keys = stack.keys
    own_redis.kill()
    assert (await other.call("GET", "/v1/me", "spare")).status_code == 200
    await stack.data_of("DELETE", f"/v1/api-keys/{spare}", "super_admin")
    async with loop_time() as clock:
        await until(lambda: answers(other, 401, "GET", "/v1/me", "spare"))
        assert clock.seconds < stack.knobs.auth_cache_ttl_s + 3


async def test_bunkers_come_and_go_as_ever(
    stack: Stack, other: Stack, worker: SimulatedWorker, own_redis: RedisServer
) -> None:
    own_redis.kill()
    worker.boot = "building"
    creating = asyncio.create_task(stack.create())
    await until(lambda: len(worker.machines) == 1)
    [bunker] = worker.machines
    worker.become(bunker, MachineState.RUNNING)
    await worker.beat(other.client)
    assert (await creating)["status"] == "running"
    assert (await other.data_of("DELETE", f"/bunkers/{bunker}"))["status"] == "terminated"
    assert await stack.status(bunker) == "terminated"
