"""Redis is wiped, or away: caps hold, and what is counted anew is what there is."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from scaibunker.controller.quotas import counters, holds, ledger
from scaibunker.controller.quotas.domain import Resource
from scaigrid.ids import new_id
from scaigrid.live.store import LiveStoreDown
from scaigrid.settings import RedisSettings
from tests.integration.quotas.books import Books, attempt, codes_of, end
from tests.integration.stack import Stack
from tests.servers import RedisServer, running
from tests.waiting import A_WHILE_S, until


async def test_caps_hold_when_redis_is_wiped_in_a_storm(roomy: Stack, books: Books) -> None:
    bucket = await books.cap(max_concurrent_bunkers=10)
    is_over = False
    alive: set[str] = set()
    most = 0

    async def come_and_go() -> None:
        nonlocal most
        while not is_over:
            answer = await attempt(roomy)
            if answer.status_code != 201:
                code = answer.json()["error"]["code"]
                assert code in {"BUNKER_QUOTA_EXCEEDED", "DATABASE_UNAVAILABLE"}, answer.text
                await asyncio.sleep(0.01)
                continue
            bunker_id = answer.json()["data"]["id"]
            alive.add(bunker_id)
            most = max(most, len(alive))
            alive.discard(bunker_id)  # from here on it may be gone at any moment
            await end(roomy, bunker_id)

    async def never_too_many() -> None:
        while not is_over:
            async with roomy.grid.database.read() as db:
                held = await holds.sums(books.op, db, [bucket])
            count = held.get(bucket, {}).get(Resource.CONCURRENT_BUNKERS, 0)
            assert count <= 10
            await asyncio.sleep(0.005)

    storm = [asyncio.create_task(come_and_go()) for _ in range(20)]
    watch = asyncio.create_task(never_too_many())
    for _ in range(5):
        await asyncio.sleep(0.4)
        await books.wipe()
    await asyncio.sleep(0.4)
    is_over = True
    await asyncio.gather(*storm, watch)
    assert (await attempt(roomy)).status_code == 201  # which counts anew, if nobody has
    await books.agree()
    assert await books.counted(bucket) == 1


async def test_a_wiped_redis_knows_what_runs_before_the_next_create_is_judged(
    roomy: Stack, books: Books
) -> None:
    await books.cap(max_concurrent_bunkers=3)
    for _ in range(3):
        assert (await attempt(roomy)).status_code == 201
    await books.wipe()
    assert await codes_of([attempt(roomy) for _ in range(8)]) == {429: 8}
    await books.agree()


async def test_who_dies_counting_anew_holds_creates_up_for_a_moment(
    roomy: Stack, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then one of them counts, and counters judge it."""
    assert counters.LOCK_MS < 1000 * ledger.RECOUNT_WAIT_S
    monkeypatch.setattr(counters, "LOCK_MS", 500)
    await books.cap(max_concurrent_bunkers=2)
    assert (await attempt(roomy)).status_code == 201
    assert await books.counters.begin("dead")
    assert await codes_of([attempt(roomy) for _ in range(3)]) == {201: 1, 429: 2}
    await books.agree()


async def test_two_replicas_judge_by_the_same_counters(roomy: Stack, books: Books) -> None:
    """What was held in counters that do not count any more is not held."""
    bucket = await books.cap(max_concurrent_bunkers=2)
    assert (await attempt(roomy)).status_code == 201
    async with roomy.grid.database.write() as db:
        await holds.begin_epoch(books.op, db, "another")
    assert (await attempt(roomy)).status_code == 201
    assert (await attempt(roomy)).status_code == 429
    assert await books.counted(bucket) == 2
    await books.agree()


class TestWithoutRedis:
    """Redis is away, and comes back."""

    @pytest.fixture
    def own_redis(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
        yield from running(RedisServer(tmp_path_factory.mktemp("r")))

    @pytest.fixture
    def redis_settings(self, own_redis: RedisServer) -> RedisSettings:
        prefix = new_id("test").replace("_", "-")
        return RedisSettings(url=own_redis.url, prefix=prefix, timeout_s=A_WHILE_S)

    async def test_the_rows_judge(self, roomy: Stack, books: Books, own_redis: RedisServer) -> None:
        bucket = await books.cap(max_concurrent_bunkers=5)
        first = (await attempt(roomy)).json()["data"]["id"]
        own_redis.stop()
        assert await codes_of([attempt(roomy) for _ in range(12)]) == {201: 4, 429: 8}
        await end(roomy, first)
        assert await codes_of([attempt(roomy) for _ in range(3)]) == {201: 1, 429: 2}
        own_redis.start()

        async def judged_by_counters() -> bool:
            answer = await attempt(roomy)
            assert answer.status_code == 429
            with contextlib.suppress(LiveStoreDown):
                return await books.counters.current([bucket]) is not None
            return False

        await until(judged_by_counters)
        assert await books.counted(bucket) == 5
        await books.agree()
