"""A stack in which bunkers fall asleep soon."""

from collections.abc import AsyncIterator

import pytest

from scaibunker.wire.worker.heartbeat import Capacity
from tests.integration.conftest import Template
from tests.integration.passivation.sleepers import Sleepers
from tests.integration.quotas.books import Books
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Knobs, Stack


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=2, passivation_patience_s=1)


@pytest.fixture
def template(request: pytest.FixtureRequest) -> Template:
    """What is a matter of the steps, and not of the statements, is tried on one database."""
    name = getattr(request, "param", "mariadb")
    made: Template = request.getfixturevalue(f"{name}_template")
    return made


@pytest.fixture
async def sleepers(stack: Stack, worker: SimulatedWorker) -> AsyncIterator[Sleepers]:
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=100_000, disk_mb=1_000_000)
    await worker.beat(stack.client)
    async with beating(worker, stack.client):
        yield Sleepers(stack, worker, Books(stack))
