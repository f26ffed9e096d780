"""The sliding window in Redis itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from scaigrid.limits.domain import Judgement, Window
from scaigrid.limits.windows import Windows
from scaigrid.live.store import LiveStore
from scaigrid.metrics.registry import Metrics
from scaigrid.settings import RedisSettings


@pytest.fixture
async def live(redis_settings: RedisSettings) -> AsyncIterator[LiveStore]:
    made = LiveStore(redis_settings)
    yield made
    await made.close()


def windows_of(live: LiveStore, length_s: int) -> Windows:
    return Windows(live, length_s, Metrics())


async def test_waiting_for_as_long_as_one_is_told_is_enough(live: LiveStore) -> None:
    windows, window = windows_of(live, 1), Window("key", "k", 4)

    async def take() -> Judgement:
        judgement = await windows.take([window])
        assert judgement is not None
        assert 0 < judgement.reset_s <= 2
        return judgement

    for _ in range(3):
        while not (judgement := await take()).is_refused:
            pass
        await asyncio.sleep(judgement.reset_s)
        assert not (await take()).is_refused


async def test_a_request_is_counted_in_all_windows_or_in_none(live: LiveStore) -> None:
    windows = windows_of(live, 3600)
    narrow, wide = Window("key", "k", 2), Window("tenant", "t", 10)
    left = []
    for _ in range(5):
        judgement = await windows.take([wide, narrow])
        assert judgement is not None
        left.append((judgement.window.kind, judgement.remaining, judgement.is_refused))
    assert left == [("key", 1, False), ("key", 0, False)] + [("key", 0, True)] * 3
    other = await windows.take([wide])
    assert other is not None
    assert other.remaining == 7


async def test_a_window_without_a_limit_is_not_asked_for(live: LiveStore) -> None:
    assert await windows_of(live, 60).take([Window("partner", "p", 0)]) is None
    assert await live.client.keys(live.key("*")) == []


async def test_windows_end(live: LiveStore) -> None:
    await windows_of(live, 1).take([Window("key", "k", 5)])
    assert 0 < await live.client.pttl(live.key("rate", "key", "k")) <= 2000


async def test_a_lowered_limit_holds_at_once(live: LiveStore) -> None:
    windows = windows_of(live, 3600)
    for _ in range(10):
        await windows.take([Window("key", "k", 100)])
    judgement = await windows.take([Window("key", "k", 5)])
    assert judgement is not None
    assert judgement.is_refused
    assert judgement.reset_s > 0
