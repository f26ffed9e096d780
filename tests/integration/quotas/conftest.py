"""Room for more than quotas allow, and its books."""

from collections.abc import AsyncIterator

import pytest

from scaibunker.wire.worker.heartbeat import Capacity
from tests.integration.quotas.books import Books
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Stack


@pytest.fixture
async def roomy(stack: Stack, worker: SimulatedWorker) -> AsyncIterator[Stack]:
    """Room for more than quotas allow."""
    worker.capacity = Capacity(cpu_millicores=1_000_000, memory_mb=1_000_000, disk_mb=10_000_000)
    await worker.beat(stack.client)
    async with beating(worker, stack.client):
        yield stack


@pytest.fixture
def books(roomy: Stack) -> Books:
    return Books(roomy)
