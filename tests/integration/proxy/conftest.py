"""The proxy is tried on both loops: the gateway's is uvloop, and asyncio's is the one that documents how loops behave."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.integration.proxy.proxied import World, world


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def proxied() -> AsyncIterator[World]:
    async with world() as made:
        yield made
