"""Redis: hints between replicas, and what happens while it is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from scaigrid.ids import new_id
from scaigrid.live.bus import Bus
from scaigrid.live.store import LiveStore, LiveStoreDown
from scaigrid.settings import RedisSettings
from tests.servers import RedisServer, running
from tests.waiting import A_WHILE_S, PATIENT_S, until

COMMAND_S = 1.0
"""How long a command to Redis may take here."""


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> RedisServer:
    """A server that the test may kill."""
    return RedisServer(tmp_path_factory.mktemp("own-redis"))


class Replica:
    """One end of the bus, which remembers what it heard."""

    def __init__(self, settings: RedisSettings) -> None:
        self.live = LiveStore(settings)
        self.bus = Bus(self.live)
        self.heard: list[str] = []
        self.gaps = 0
        self.bus.subscribe("topic", self.heard.append)
        self.bus.after_gap(self._count_gap)

    def _count_gap(self) -> None:
        self.gaps += 1

    async def stop(self) -> None:
        await self.bus.stop()
        await self.live.close()


@pytest.fixture
async def replicas(redis_settings: RedisSettings) -> AsyncIterator[tuple[Replica, Replica]]:
    settings = redis_settings.model_copy(update={"timeout_s": COMMAND_S})
    made = (Replica(settings), Replica(settings))
    for replica in made:
        await replica.bus.start()
    yield made
    for replica in made:
        await replica.stop()


async def hears(sender: Replica, receiver: Replica) -> str:
    """Publish until the other one hears it: a subscription takes a moment."""
    key = new_id("hint")

    async def heard() -> bool:
        sender.bus.publish("topic", key)
        return key in receiver.heard

    await until(heard)
    return key


async def until_both_heard_of(gaps: int, one: Replica, other: Replica) -> None:
    """They know that they may have missed something, so many times."""
    await until(lambda: (one.gaps, other.gaps) == (gaps, gaps))


async def test_a_hint_reaches_the_other_replica_and_its_own_once(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    await hears(one, other)
    await hears(other, one)
    one.bus.publish("topic", "once")
    assert one.heard[-1] == "once"
    await until(lambda: "once" in other.heard)
    await hears(other, one)  # what was on its way to `one` has arrived
    assert (one.heard.count("once"), other.heard.count("once")) == (1, 1)


async def test_a_silent_bus_stays_connected(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    await hears(one, other)
    await asyncio.sleep(COMMAND_S * 1.5)  # longer than a command may take
    one.bus.publish("topic", "late")
    await until(lambda: "late" in other.heard)


async def test_hints_go_on_after_redis_was_away(own_redis: RedisServer) -> None:
    for server in running(own_redis):
        settings = RedisSettings(url=server.url, timeout_s=A_WHILE_S)
        one, other = Replica(settings), Replica(settings)
        await one.bus.start()
        await other.bus.start()
        await hears(one, other)
        await until_both_heard_of(1, one, other)
        server.kill()
        with pytest.raises(LiveStoreDown):
            await one.live.ping()
        one.bus.publish("topic", "kept")  # waits until it can be sent
        assert one.heard[-1] == "kept"
        await asyncio.to_thread(server.start)
        await hears(one, other)
        await until_both_heard_of(2, one, other)
        await one.stop()
        await other.stop()


async def test_hints_pass_through_a_socket_of_the_file_system(redis_server: RedisServer) -> None:
    path, prefix = redis_server.socket, new_id("test")
    settings = RedisSettings(url=f"unix://{path}", prefix=prefix, timeout_s=PATIENT_S)
    one, other = Replica(settings), Replica(settings)
    for replica in (one, other):
        await replica.bus.start()
    await hears(one, other)
    for replica in (one, other):
        await replica.stop()
