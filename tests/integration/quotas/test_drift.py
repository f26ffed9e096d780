"""What comes apart of rows and counters is found, mended and counted."""

import pytest
from sqlalchemy import select, update

from scaibunker.controller.quotas.domain import Resource, user_bucket
from scaibunker.controller.workers.tables import workers
from tests.integration.quotas.books import Books, attempt, end
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack


async def test_nothing_is_mended_where_nothing_is_wrong(roomy: Stack, books: Books) -> None:
    await attempt(roomy)
    await roomy.run_task("scaibunker.mend_holds")
    assert [await books.mended(k) for k in ("orphan", "missing", "counter", "place")] == [0] * 4


async def test_a_hold_of_nobody(roomy: Stack, books: Books) -> None:
    """A create died after it held and before its row was written."""
    bucket = await books.cap(max_concurrent_bunkers=1)
    made = (await attempt(roomy)).json()["data"]["id"]
    [stash] = (await books.counters.stashes()).values()
    client, key = roomy.grid.live.client, roomy.grid.live.key
    await end(roomy, made)
    orphan = {**stash.counters, "at": stash.at - 59}
    await client.hset(key("quota", "bunker", "bnk_died"), mapping=orphan)
    for name, amount in stash.counters.items():
        await client.incrby(name, amount)
    assert (await attempt(roomy)).status_code == 429
    await client.hset(key("quota", "bunker", "bnk_died"), "at", stash.at - 61)
    await roomy.run_task("scaibunker.mend_holds")
    assert await books.counted(bucket) == 0
    assert await books.mended("orphan") == 1
    assert (await attempt(roomy)).status_code == 201
    await books.agree()


async def test_a_hold_that_is_taken_up_again(roomy: Stack, books: Books) -> None:
    """A create died after it held, and is sent again a minute later: what it holds is not let go
    before its row is written."""
    await roomy.run_task("scaibunker.mend_holds")
    await books.hold("bnk_again")
    stash = roomy.grid.live.key("quota", "bunker", "bnk_again")
    await roomy.grid.live.client.hincrby(stash, "at", -61)
    bucket = await books.hold("bnk_again")
    await roomy.run_task("scaibunker.mend_holds")
    assert await books.counted(bucket) == 1
    assert await books.mended("orphan") == 0


async def test_a_bunker_that_is_not_counted(roomy: Stack, books: Books) -> None:
    made = (await attempt(roomy)).json()["data"]["id"]
    assert await books.counters.let_go(made)
    await roomy.run_task("scaibunker.mend_holds")
    assert await books.mended("missing") == 1
    await books.agree()


async def test_a_counter_that_somebody_has_changed(roomy: Stack, books: Books) -> None:
    bucket = user_bucket((await books.me())["user_id"])
    await attempt(roomy)
    name = books.counters.name(bucket, Resource.MEMORY_MB)
    await roomy.grid.live.client.incrby(name, 1000)
    await roomy.run_task("scaibunker.mend_holds")
    assert await books.mended("counter") == 1
    assert await books.counted(bucket, Resource.MEMORY_MB) == 64
    await books.agree()


@pytest.mark.parametrize("what", ["counter", "text", "stash"])
async def test_a_key_that_holds_something_else(roomy: Stack, books: Books, what: str) -> None:
    """Caps hold meanwhile, nobody else is held up by it, and it is mended."""
    bucket = await books.cap(max_concurrent_bunkers=2)
    made = (await attempt(roomy)).json()["data"]["id"]
    live = roomy.grid.live
    name = books.counters.name(bucket, Resource.MEMORY_MB)
    stash = live.key("quota", "bunker", made)
    match what:
        case "counter":
            await live.client.delete(name)
            await live.client.hset(name, "a", "b")
        case "text":
            await live.client.set(name, "many")
        case "stash":
            await live.client.set(stash, "b")
    assert (await attempt(roomy)).status_code == 201
    await live.ping()
    assert (await attempt(roomy)).status_code == 429
    await live.ping()
    usage = await roomy.data_of("GET", "/quota-profiles/usage")
    assert [row["current"]["concurrent_bunkers"] for row in usage] == [2]
    await roomy.run_task("scaibunker.mend_holds")
    await books.agree()
    assert (await attempt(roomy)).status_code == 429


async def test_a_create_on_its_way_is_no_drift(roomy: Stack, books: Books) -> None:
    """It holds, and its row is not written yet."""
    made = (await attempt(roomy)).json()["data"]["id"]
    bucket = await books.hold("bnk_slow")
    await roomy.run_task("scaibunker.mend_holds")
    assert [await books.mended(k) for k in ("orphan", "counter")] == [0, 0]
    assert set(await books.counters.stashes()) == {made, "bnk_slow"}
    assert await books.counted(bucket) == 2


async def test_a_bunker_that_is_counted_in_other_buckets(roomy: Stack, books: Books) -> None:
    """Its create held, died, and was sent again when others were assigned."""
    made = (await attempt(roomy)).json()["data"]["id"]
    assert await books.counters.let_go(made)
    await books.hold(made)
    await roomy.run_task("scaibunker.mend_holds")
    assert await books.mended("counter") == 1
    await books.agree()


async def test_counters_that_are_gone_are_made_without_a_create(roomy: Stack, books: Books) -> None:
    await attempt(roomy)
    await books.wipe()
    await roomy.run_task("scaibunker.mend_holds")
    await books.agree()
    assert await books.mended("counter") == 0


async def test_what_a_worker_is_said_to_have_given_away(
    roomy: Stack, worker: SimulatedWorker, books: Books
) -> None:
    await attempt(roomy)
    async with roomy.grid.database.write() as db:
        await db.execute(update(workers).values(held_memory_mb=999_999))
    await roomy.run_task("scaibunker.mend_holds")
    assert await books.mended("place") == 1
    async with roomy.grid.database.read() as db:
        assert await db.value(select(workers.c.held_memory_mb)) == 64
