"""Caps hold: whom a profile bounds, and what a refusal says."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import update

from scaibunker.controller.quotas.domain import Resource, group_bucket, user_bucket
from scaibunker.controller.quotas.tables import quota_assignments
from scaigrid.tenancy.scope import everywhere
from tests.integration.quotas.books import Books, attempt, end
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of


async def test_without_a_profile_all_is_counted_and_nothing_is_refused(
    roomy: Stack, books: Books
) -> None:
    bucket = user_bucket((await books.me())["user_id"])
    made = [(await attempt(roomy)).json()["data"]["id"] for _ in range(3)]
    assert await books.counted(bucket) == 3
    assert await books.counted(bucket, Resource.MEMORY_MB) == 3 * 64
    for bunker_id in made:
        await end(roomy, bunker_id)
    assert await books.counted(bucket) == 0
    await books.agree()


async def test_a_refusal_says_what_of_which_profile_is_used_up(roomy: Stack, books: Books) -> None:
    bucket = await books.cap(max_memory_mb=150)
    for _ in range(2):
        assert (await attempt(roomy)).status_code == 201
    refused = await attempt(roomy)
    assert error_of(refused) == (429, "BUNKER_QUOTA_EXCEEDED")
    [entry] = refused.json()["error"]["details"]
    expected = {
        "bucket": bucket,
        "resource": "memory_mb",
        "current": 128,
        "requested": 64,
        "cap": 150,
    }
    assert expected.items() <= entry.items()
    assert entry["profile"].startswith("qpf_")
    assert (await attempt(roomy, memory_mb=64, cpu_millicores=200)).status_code == 429
    await books.agree()


@pytest.mark.parametrize(
    ("caps", "asked"),
    [
        ({"per_bunker_max_cpu": 1000}, {"cpu_millicores": 1001}),
        ({"per_bunker_max_memory": 100}, {"memory_mb": 101}),
        ({"per_bunker_max_disk": 100}, {"disk_mb": 101}),
        ({"per_bunker_max_gpu": 0}, {"gpu_count": 1}),
    ],
)
async def test_one_bunker_has_bounds_of_its_own(
    roomy: Stack, books: Books, caps: dict[str, int], asked: dict[str, int]
) -> None:
    await books.cap(**caps)
    [(field, amount)] = asked.items()
    refused = await attempt(roomy, **asked)
    assert error_of(refused) == (429, "BUNKER_QUOTA_EXCEEDED")
    [entry] = refused.json()["error"]["details"]
    assert (entry["resource"], entry["requested"]) == (field, amount)
    if field != "gpu_count":
        assert (await attempt(roomy, **{field: amount - 1})).status_code == 201


async def test_of_two_hundred_creates_at_once_as_many_succeed_as_the_cap_allows(
    roomy: Stack, books: Books
) -> None:
    bucket = await books.cap(max_concurrent_bunkers=50)
    answers = await asyncio.gather(*(attempt(roomy) for _ in range(200)))
    assert Counter(a.status_code for a in answers) == {201: 50, 429: 150}
    assert await books.counted(bucket) == 50
    await books.agree()
    made = [a.json()["data"]["id"] for a in answers if a.status_code == 201]
    await asyncio.gather(*(end(roomy, bunker_id) for bunker_id in made))
    assert await books.counted(bucket) == 0
    await books.agree()
    assert (await attempt(roomy)).status_code == 201


async def test_persistent_bunkers_are_counted_by_themselves(roomy: Stack, books: Books) -> None:
    await books.cap(max_persistent_bunkers=1)
    assert (await attempt(roomy, lifecycle_mode="persistent")).status_code == 201
    assert (await attempt(roomy)).status_code == 201
    refused = await attempt(roomy, lifecycle_mode="persistent")
    assert refused.json()["error"]["details"][0]["resource"] == "persistent_bunkers"


async def test_a_group_shares_one_allowance_with_those_nested_in_it(
    roomy: Stack, books: Books
) -> None:
    user, admin = (await books.me())["user_id"], (await books.me("tenant_admin"))["user_id"]
    upper = await books.group("upper", None, admin)
    lower = await books.group("lower", upper, user)
    assert lower != upper
    tenant = (await books.me())["tenant_id"]
    await books.assign(
        await books.profile(tenant, max_concurrent_bunkers=2), "group", upper, "shared"
    )
    assert (await attempt(roomy)).status_code == 201
    assert (await attempt(roomy, "tenant_admin")).status_code == 201
    for who in ("user", "tenant_admin"):
        refused = await attempt(roomy, who)
        assert refused.json()["error"]["details"][0]["bucket"] == group_bucket(upper)
    assert await books.counted(group_bucket(upper)) == 2
    await books.agree()


async def test_each_user_of_a_group_has_an_allowance_of_its_own(roomy: Stack, books: Books) -> None:
    user, admin = (await books.me())["user_id"], (await books.me("tenant_admin"))["user_id"]
    group = await books.group("each", None, user, admin)
    tenant = (await books.me())["tenant_id"]
    each = await books.profile(tenant, max_concurrent_bunkers=1)
    await books.assign(each, "group", group, "per_user")
    for who in ("user", "tenant_admin"):
        assert (await attempt(roomy, who)).status_code == 201
        assert (await attempt(roomy, who)).status_code == 429
    # The user's own profile bounds the same bucket: the strictest wins, and it is counted once.
    bucket = await books.cap(max_concurrent_bunkers=9)
    assert (await attempt(roomy)).status_code == 429
    assert await books.counted(bucket) == 1


async def test_who_has_no_profile_has_the_defaults_of_the_platform(
    roomy: Stack, books: Books
) -> None:
    await books.profile(None, max_concurrent_bunkers=1)
    assert (await attempt(roomy)).status_code == 201
    assert (await attempt(roomy)).status_code == 429
    await books.cap(max_concurrent_bunkers=2)
    assert (await attempt(roomy)).status_code == 201
    assert (await attempt(roomy)).status_code == 429


async def test_what_was_held_is_given_back_though_assignments_have_changed(
    roomy: Stack, books: Books
) -> None:
    user = (await books.me())["user_id"]
    group = await books.group("before", None, user)
    shared = await books.profile((await books.me())["tenant_id"], max_concurrent_bunkers=5)
    await books.assign(shared, "group", group, "shared")
    made = (await attempt(roomy)).json()["data"]["id"]
    async with roomy.grid.database.write() as db:
        await db.execute(
            update(quota_assignments)
            .where(quota_assignments.c.target_id == group, everywhere(books.op, quota_assignments))
            .values(target_id="grp_gone")
        )
    assert await books.counted(group_bucket(group)) == 1
    await end(roomy, made)
    assert await books.counted(group_bucket(group)) == 0
    await books.agree()


async def test_a_create_that_finds_no_worker_holds_nothing(
    roomy: Stack, worker: SimulatedWorker, books: Books
) -> None:
    bucket = await books.cap(max_concurrent_bunkers=5)
    refused = await attempt(roomy, gpu_count=1)
    assert error_of(refused) == (503, "WORKER_UNAVAILABLE")
    assert await books.counted(bucket) == 0
    await books.agree()
