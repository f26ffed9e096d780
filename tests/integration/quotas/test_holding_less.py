"""A bunker that is passivated holds its disk and its place among the persistent ones, until it wakes."""

import pytest

from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.domain import (
    KEPT_ASLEEP,
    Cap,
    Claim,
    Resource,
    kept_asleep,
    user_bucket,
)
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from tests.integration.quotas.books import Books, attempt
from tests.integration.stack import Stack

WHOLE = {Resource.PERSISTENT_BUNKERS: 1, Resource.DISK_MB: 64, Resource.MEMORY_MB: 64}
LESS = {Resource.PERSISTENT_BUNKERS: 1, Resource.DISK_MB: 64}


async def claims(books: Books, bunker_id: str, **caps: int) -> tuple[Claim, Claim]:
    """What one bunker holds awake and asleep, with these caps on all that its owner holds."""
    user_id = (await books.me())["user_id"]
    await books.stack.run_task("scaibunker.mend_holds")  # counters are whole from then on
    bucket = user_bucket(user_id)
    cap = {Resource(name): Cap(most, "qpf_1", "one") for name, most in caps.items()}
    return (
        Claim(bunker_id, WHOLE, {bucket: cap}),
        Claim(bunker_id, LESS, {bucket: {}}),
    )


async def test_memory_is_given_back_and_judged_again(roomy: Stack, books: Books) -> None:
    caps = {"memory_mb": 64, "disk_mb": 128}
    whole, less = await claims(books, "bnk_first", **caps)
    other, _ = await claims(books, "bnk_second", **caps)
    [bucket] = whole.buckets
    assert await books.counters.hold(whole)
    with pytest.raises(BunkerQuotaExceeded):
        await books.counters.hold(other)
    assert await books.counters.resize(less, 5, begin=False)
    assert await books.counted(bucket, Resource.MEMORY_MB) == 0
    assert await books.counted(bucket, Resource.DISK_MB) == 64
    assert await books.counters.hold(other)
    with pytest.raises(BunkerQuotaExceeded) as refused:
        await books.counters.resize(whole, 6, begin=True)
    [entry] = refused.value.details
    assert (entry["resource"], entry["current"], entry["requested"]) == ("memory_mb", 64, 64)
    assert await books.counted(bucket, Resource.DISK_MB) == 128  # nothing of it was taken
    await books.counters.let_go("bnk_second")
    assert await books.counters.resize(whole, 6, begin=True)
    assert await books.counters.resize(whole, 6, begin=True)  # twice is once
    assert await books.counted(bucket, Resource.MEMORY_MB) == 64
    await books.counters.let_go("bnk_first")
    assert await books.counters.counted() == {}


async def test_of_two_changes_the_later_one_counts(roomy: Stack, books: Books) -> None:
    """Whichever reaches Redis first, by the revision of the bunker's row."""
    whole, less = await claims(books, "bnk_late")
    [bucket] = whole.buckets
    assert await books.counters.hold(whole)
    assert await books.counters.resize(whole, 8, begin=True)
    assert await books.counters.resize(less, 7, begin=False)
    assert await books.counted(bucket, Resource.MEMORY_MB) == 64
    assert await books.counters.resize(less, 9, begin=False)
    assert await books.counters.resize(whole, 8, begin=True)
    assert await books.counted(bucket, Resource.MEMORY_MB) == 0
    await books.counters.let_go("bnk_late")
    assert await books.counters.resize(less, 10, begin=False)  # it has ended
    assert await books.counters.counted() == {}


async def test_what_redis_was_not_told_is_found(roomy: Stack, books: Books) -> None:
    """Its rows say less: whoever wrote them died before Redis was told."""
    made = (await attempt(roomy)).json()["data"]["id"]
    bucket = user_bucket((await books.me())["user_id"])
    async with roomy.grid.database.write() as db:
        await holds.keep(books.op, db, made, KEPT_ASLEEP)
        left = kept_asleep(made, await holds.of_bunker(books.op, db, made))
    await roomy.run_task("scaibunker.mend_holds")
    assert await books.counted(bucket) == 0
    assert await books.counted(bucket, Resource.DISK_MB) == left.amounts[Resource.DISK_MB] == 64
    assert await books.mended("orphan") == 1
    assert await books.mended("counter") == 0
    await books.agree()


async def test_a_change_on_its_way_is_no_drift(roomy: Stack, books: Books) -> None:
    """It holds again, and its rows do not say so yet."""
    made = (await attempt(roomy)).json()["data"]["id"]
    bucket = user_bucket((await books.me())["user_id"])
    async with roomy.grid.database.write() as db:
        held = await holds.of_bunker(books.op, db, made)
        await holds.keep(books.op, db, made, KEPT_ASLEEP)
    left = kept_asleep(made, held)
    assert await books.counters.resize(left, 3, begin=False)
    whole = Claim(made, held[bucket], {bucket: {}})
    assert await books.counters.resize(whole, 4, begin=True)
    await roomy.run_task("scaibunker.mend_holds")
    assert [await books.mended(k) for k in ("orphan", "counter")] == [0, 0]
    assert await books.counted(bucket) == 1
