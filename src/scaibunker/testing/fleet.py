"""Many simulated hosts at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from scaibunker.testing.host import CAPACITY, SimulatedHost
from scaibunker.wire.worker.heartbeat import Capacity

STARTS_AT_ONCE = 16


@contextlib.asynccontextmanager
async def hosts(
    count: int,
    folder: Path,
    *,
    controller_url: str,
    token: str,
    images: Mapping[str, int],
    capacity: Capacity = CAPACITY,
    boot_s: float = 0.0,
    spread_s: float = 0.0,
) -> AsyncIterator[list[SimulatedHost]]:
    """So many hosts whose daemons run while inside, named `wrk_sim0000` and on. Their starts, and so
    their heartbeats, are spread over `spread_s` seconds. Raises WorkerFault if one cannot start."""
    made = [
        SimulatedHost(
            folder,
            f"sim{number:04}",
            controller_url=controller_url,
            token=token,
            images=images,
            capacity=capacity,
            boot_s=boot_s,
        )
        for number in range(count)
    ]
    turns = asyncio.Semaphore(STARTS_AT_ONCE)

    async def start(number: int, host: SimulatedHost) -> None:
        await asyncio.sleep(spread_s * number / count)
        async with turns:
            await host.start()

    try:
        await asyncio.gather(*(start(number, host) for number, host in enumerate(made)))
        yield made
    finally:
        await asyncio.gather(*(host.close() for host in made))
