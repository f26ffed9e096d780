"""What an outage of Redis costs."""

import asyncio
import time

import pytest
from redis.exceptions import ConnectionError as RedisGone

from scaigrid.live.store import LiveStore, LiveStoreDown
from scaigrid.settings import RedisSettings


class Server:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_up = False

    async def command(self) -> str:
        self.asked += 1
        await asyncio.sleep(0.01)
        if not self.is_up:
            raise RedisGone
        return "PONG"


async def many(store: LiveStore, server: Server) -> list[object]:
    """Twenty at once: answers, or the class of what was raised."""
    asks = (store.ask(server.command()) for _ in range(20))
    done = await asyncio.gather(*asks, return_exceptions=True)
    return [type(each) if isinstance(each, Exception) else each for each in done]


async def test_while_it_is_away_one_looks_and_nobody_else_waits() -> None:
    store, server = LiveStore(RedisSettings(url="redis://localhost")), Server()
    with pytest.raises(LiveStoreDown):
        await store.ask(server.command())
    assert await many(store, server) == [LiveStoreDown] * 20
    assert server.asked == 1
    store._down_until = time.monotonic()  # the pause is over
    assert await many(store, server) == [LiveStoreDown] * 20
    assert server.asked == 2
    server.is_up = True
    store._down_until = time.monotonic()
    assert (await many(store, server)).count("PONG") == 1
    assert await many(store, server) == ["PONG"] * 20


@pytest.mark.parametrize(("prefix", "name"), [("", "quota:epoch"), ("one", "one:quota:epoch")])
def test_keys_have_the_prefix_if_there_is_one(prefix: str, name: str) -> None:
    store = LiveStore(RedisSettings(url="redis://localhost", prefix=prefix))
    assert store.key("quota", "epoch") == name
