"""Fixtures for tests of the worker's parts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from scaibunker.worker.guest.connection import GuestConnection, open_session
from scaibunker.worker.machines.host import Host
from tests.unit.worker.fake_agent import TOKEN, FakeAgent, Handler
from tests.unit.worker.fake_host import FakeDriver, make_host

StartAgent = Callable[..., Awaitable[FakeAgent]]
Connect = Callable[..., Awaitable[GuestConnection]]


@pytest.fixture
async def start_agent(tmp_path: Path) -> AsyncIterator[StartAgent]:
    """A factory of fake agents, each on `tmp_path/agent.sock`."""
    agents: list[FakeAgent] = []

    async def start(handler: Handler, **options: object) -> FakeAgent:
        agent = FakeAgent(handler, **options)  # type: ignore[arg-type]
        await agent.start(tmp_path / "agent.sock")
        agents.append(agent)
        return agent

    yield start
    for agent in agents:
        await agent.stop()


@pytest.fixture
async def connect(start_agent: StartAgent, tmp_path: Path) -> AsyncIterator[Connect]:
    """A factory of sessions with fake agents."""
    sessions: list[GuestConnection] = []

    async def open_one(handler: Handler, **options: object) -> GuestConnection:
        await start_agent(handler, **options)
        sessions.append(await open_session(tmp_path / "agent.sock", TOKEN, 5))
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.close()


@pytest.fixture
async def driver() -> AsyncIterator[FakeDriver]:
    """A VMM driver without VMMs."""
    driver = FakeDriver()
    yield driver
    await driver.close()


@pytest.fixture
def host(tmp_path: Path, driver: FakeDriver) -> Host:
    """A worker's host with that driver."""
    return make_host(tmp_path, driver)
