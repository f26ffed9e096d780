"""What Redis does of quotas is done whole or not at all."""

from scaibunker.controller.quotas import holds
from tests.integration.quotas.books import Books, attempt
from tests.integration.stack import Stack


async def test_holding_and_letting_go_twice_counts_once(roomy: Stack, books: Books) -> None:
    made = (await attempt(roomy)).json()["data"]["id"]
    assert await books.counters.let_go(made)
    assert not await books.counters.let_go(made)
    assert await books.counters.counted() == {}


async def test_what_ends_while_it_is_counted_anew_is_not_put_back(
    roomy: Stack, books: Books
) -> None:
    made = (await attempt(roomy)).json()["data"]["id"]
    async with roomy.grid.database.read() as db:
        held = await holds.page(books.op, db, "", 10)
    assert await books.counters.begin("token")
    await books.counters.let_go(made)
    assert await books.counters.put_back("token", held)
    assert await books.counters.counted() == {}
    assert not await books.counters.finish("stranger", "e")
    assert await books.counters.finish("token", "e")
    assert await books.counters.epoch() == "e"


async def test_who_counts_anew_is_told_that_it_was_wiped(roomy: Stack, books: Books) -> None:
    await attempt(roomy)
    async with roomy.grid.database.read() as db:
        held = await holds.page(books.op, db, "", 10)
    assert await books.counters.begin("token")
    assert not await books.counters.begin("another")
    await books.wipe()
    assert not await books.counters.put_back("token", held)
    assert not await books.counters.finish("token", "e")
