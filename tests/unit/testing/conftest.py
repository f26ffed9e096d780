"""A simulated host that runs, and somebody it reports to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.testing.host import SimulatedHost
from tests.unit.testing.ear import IMAGE, IMAGE_SIZE, INTERVAL_S, TOKEN, Ear
from tests.unit.testing.warm_hosts import MakeHost


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    made = Ear()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def host(ear: Ear, tmp_path: Path) -> AsyncIterator[SimulatedHost]:
    made = SimulatedHost(
        tmp_path,
        "one",
        controller_url=ear.url,
        token=TOKEN,
        images={IMAGE: IMAGE_SIZE},
        heartbeat_interval_s=INTERVAL_S,
        boot_timeout_s=1,
        concurrent_boots=2,
    )
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def make_host(ear: Ear, tmp_path: Path) -> AsyncIterator[MakeHost]:
    hosts: list[SimulatedHost] = []

    def make(**options: object) -> SimulatedHost:
        made = SimulatedHost(
            tmp_path,
            "warm",
            controller_url=ear.url,
            token=TOKEN,
            images={IMAGE: IMAGE_SIZE},
            heartbeat_interval_s=INTERVAL_S,
            boot_timeout_s=5,
            **{"warm_starts": True, **options},  # type: ignore[arg-type]
        )
        hosts.append(made)
        return made

    yield make
    for host in hosts:
        await host.close()
