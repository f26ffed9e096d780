"""Fixtures for tests of the worker's parts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.unit.worker.fake_agent import FakeAgent, Handler

StartAgent = Callable[..., Awaitable[Path]]


@pytest.fixture
async def start_agent(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[FakeAgent]]]:
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
