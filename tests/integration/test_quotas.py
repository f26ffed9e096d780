"""Caps hold whatever happens, and what is counted is what there is."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy import insert, select, update

from scaibunker.controller.quotas import counters, holds, ledger
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.domain import (
    KEPT_ASLEEP,
    Cap,
    Claim,
    Resource,
    claim,
    group_bucket,
    kept_asleep,
    user_bucket,
)
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.quotas.tables import quota_assignments, quota_profiles
from scaibunker.controller.workers.tables import workers
from scaibunker.wire.worker.heartbeat import Capacity
from scaigrid.ids import new_id
from scaigrid.live.store import LiveStoreDown
from scaigrid.operation import system_operation
from scaigrid.settings import RedisSettings
from scaigrid.tenancy.scope import everywhere
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Stack, error_of
from tests.servers import RedisServer, running
from tests.waiting import until

SMALL = {"image": "debian-12", "memory_mb": 64, "cpu_millicores": 100, "disk_mb": 64}


@pytest.fixture
async def roomy(stack: Stack, worker: SimulatedWorker) -> AsyncIterator[Stack]:
    """Room for more than quotas allow."""
    worker.capacity = Capacity(cpu_millicores=1_000_000, memory_mb=1_000_000, disk_mb=10_000_000)
    await worker.beat(stack.client)
    async with beating(worker, stack.client):
        yield stack


class Books:
    """What is counted, and profiles as they lie in the database."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.op = system_operation("tests", stack.grid.clock)
        self.counters = Counters(stack.grid.live)

    async def me(self, who: str = "user") -> dict[str, Any]:
        found: dict[str, Any] = await self.stack.data_of("GET", "/v1/me", who)
        return found

    async def profile(self, tenant_id: str | None = None, **caps: int) -> str:
        profile_id = new_id("qpf")
        values: dict[str, Any] = {
            "id": profile_id,
            "owner": tenant_id or "",
            "tenant_id": tenant_id,
            "name": profile_id,
            "description": "",
            "created_at": self.op.now(),
        }
        async with self.stack.grid.database.write() as db:
            await db.execute(insert(quota_profiles).values(**values, **caps))
        return profile_id

    async def assign(self, profile_id: str, kind: str, target_id: str, mode: str) -> None:
        tenant_id = (await self.me())["tenant_id"]
        async with self.stack.grid.database.write() as db:
            await db.execute(
                insert(quota_assignments).values(
                    id=new_id("qas"),
                    tenant_id=tenant_id,
                    profile_id=profile_id,
                    target_kind=kind,
                    target_id=target_id,
                    mode=mode,
                    created_at=self.op.now(),
                )
            )

    async def cap(self, **caps: int) -> str:
        """Caps of the user alone; returns its bucket."""
        me = await self.me()
        profile = await self.profile(me["tenant_id"], **caps)
        await self.assign(profile, "user", me["user_id"], "individual")
        return user_bucket(me["user_id"])

    async def group(self, name: str, parent_id: str | None = None, *members: str) -> str:
        body = {"name": name, **({"parent_id": parent_id} if parent_id else {})}
        made = await self.stack.data_of("POST", "/v1/groups", "tenant_admin", json=body)
        for member in members:
            path = f"/v1/groups/{made['id']}/members/{member}"
            await self.stack.data_of("PUT", path, "tenant_admin")
        return str(made["id"])

    async def counted(self, bucket: str, resource: Resource = Resource.CONCURRENT_BUNKERS) -> int:
        found = await self.counters.current([bucket])
        assert found is not None
        return found[bucket].get(resource, 0)

    async def agrees(self) -> bool:
        """Whether they do just now: while counters are made anew they do not."""
        try:
            await self.agree()
        except AssertionError:
            return False
        return True

    async def agree(self) -> None:
        """Counters, stashes and rows say the same."""
        async with self.stack.grid.database.read() as db:
            rows = await holds.page(self.op, db, "", 10_000)
        expected: Counter[str] = Counter()
        stashed = {}
        for bunker_id, buckets in rows.items():
            mine = stashed[bunker_id] = {
                self.counters.name(bucket, resource): amount
                for bucket, amounts in buckets.items()
                for resource, amount in amounts.items()
            }
            expected.update(mine)
        assert await self.counters.counted() == expected
        assert {k: s.counters for k, s in (await self.counters.stashes()).items()} == stashed

    async def wipe(self) -> None:
        """Forget all that Redis holds of this test's, at once."""
        forget = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end"
        await self.stack.grid.live.client.eval(forget, 0, self.stack.grid.live.key("*"))


@pytest.fixture
def books(roomy: Stack) -> Books:
    return Books(roomy)


async def attempt(stack: Stack, who: str = "user", **more: Any) -> httpx.Response:
    return await stack.call("POST", "/bunkers", who, json={**SMALL, **more})


async def codes_of(attempts: list[Awaitable[httpx.Response]]) -> Counter[int]:
    return Counter(answer.status_code for answer in await asyncio.gather(*attempts))


async def end(stack: Stack, bunker_id: str) -> None:
    await stack.data_of("DELETE", f"/bunkers/{bunker_id}")


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
    assert error_of(refused) == (503, "NO_SUITABLE_WORKER")
    assert await books.counted(bucket) == 0
    await books.agree()


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
        return RedisSettings(url=own_redis.url, prefix=new_id("test").replace("_", "-"))

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


class TestDrift:
    """What comes apart is found, mended and counted."""

    async def mended(self, books: Books, kind: str) -> float:
        text = (await books.stack.call("GET", "/metrics", "super_admin")).text
        wanted = f'quota_drift_total{{kind="{kind}"}}'
        return sum(float(line.split()[-1]) for line in text.splitlines() if wanted in line)

    async def test_nothing_is_mended_where_nothing_is_wrong(
        self, roomy: Stack, books: Books
    ) -> None:
        await attempt(roomy)
        await roomy.run_task("scaibunker.mend_holds")
        assert [await self.mended(books, k) for k in ("orphan", "missing", "counter", "place")] == [
            0
        ] * 4

    async def test_a_hold_of_nobody(self, roomy: Stack, books: Books) -> None:
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
        assert await self.mended(books, "orphan") == 1
        assert (await attempt(roomy)).status_code == 201
        await books.agree()

    async def test_a_hold_that_is_taken_up_again(self, roomy: Stack, books: Books) -> None:
        """A create died after it held, and is sent again a minute later: what it holds is not let go
        before its row is written."""
        await roomy.run_task("scaibunker.mend_holds")
        await self.holds(books, "bnk_again")
        stash = roomy.grid.live.key("quota", "bunker", "bnk_again")
        await roomy.grid.live.client.hincrby(stash, "at", -61)
        bucket = await self.holds(books, "bnk_again")
        await roomy.run_task("scaibunker.mend_holds")
        assert await books.counted(bucket) == 1
        assert await self.mended(books, "orphan") == 0

    async def test_a_bunker_that_is_not_counted(self, roomy: Stack, books: Books) -> None:
        made = (await attempt(roomy)).json()["data"]["id"]
        assert await books.counters.let_go(made)
        await roomy.run_task("scaibunker.mend_holds")
        assert await self.mended(books, "missing") == 1
        await books.agree()

    async def test_a_counter_that_somebody_has_changed(self, roomy: Stack, books: Books) -> None:
        bucket = user_bucket((await books.me())["user_id"])
        await attempt(roomy)
        name = books.counters.name(bucket, Resource.MEMORY_MB)
        await roomy.grid.live.client.incrby(name, 1000)
        await roomy.run_task("scaibunker.mend_holds")
        assert await self.mended(books, "counter") == 1
        assert await books.counted(bucket, Resource.MEMORY_MB) == 64
        await books.agree()

    @pytest.mark.parametrize("what", ["counter", "text", "stash"])
    async def test_a_key_that_holds_something_else(
        self, roomy: Stack, books: Books, what: str
    ) -> None:
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

    async def test_a_create_on_its_way_is_no_drift(self, roomy: Stack, books: Books) -> None:
        """It holds, and its row is not written yet."""
        made = (await attempt(roomy)).json()["data"]["id"]
        bucket = await self.holds(books, "bnk_slow")
        await roomy.run_task("scaibunker.mend_holds")
        assert [await self.mended(books, k) for k in ("orphan", "counter")] == [0, 0]
        assert set(await books.counters.stashes()) == {made, "bnk_slow"}
        assert await books.counted(bucket) == 2

    async def test_a_bunker_that_is_counted_in_other_buckets(
        self, roomy: Stack, books: Books
    ) -> None:
        """Its create held, died, and was sent again when others were assigned."""
        made = (await attempt(roomy)).json()["data"]["id"]
        assert await books.counters.let_go(made)
        await self.holds(books, made)
        await roomy.run_task("scaibunker.mend_holds")
        assert await self.mended(books, "counter") == 1
        await books.agree()

    async def holds(self, books: Books, bunker_id: str) -> str:
        """Have a bunker counted, and nothing more; returns its bucket."""
        user_id = (await books.me())["user_id"]
        wanted = claim(bunker_id, user_id, {Resource.CONCURRENT_BUNKERS: 1}, [])
        assert await books.counters.hold(wanted)
        return user_bucket(user_id)

    async def test_counters_that_are_gone_are_made_without_a_create(
        self, roomy: Stack, books: Books
    ) -> None:
        await attempt(roomy)
        await books.wipe()
        await roomy.run_task("scaibunker.mend_holds")
        await books.agree()
        assert await self.mended(books, "counter") == 0

    async def test_what_a_worker_is_said_to_have_given_away(
        self, roomy: Stack, worker: SimulatedWorker, books: Books
    ) -> None:
        await attempt(roomy)
        async with roomy.grid.database.write() as db:
            await db.execute(update(workers).values(held_memory_mb=999_999))
        await roomy.run_task("scaibunker.mend_holds")
        assert await self.mended(books, "place") == 1
        async with roomy.grid.database.read() as db:
            assert await db.value(select(workers.c.held_memory_mb)) == 64


class TestHoldingLess:
    """A bunker that is passivated holds its disk and its place among the persistent ones, until it wakes."""

    WHOLE: ClassVar = {Resource.PERSISTENT_BUNKERS: 1, Resource.DISK_MB: 64, Resource.MEMORY_MB: 64}
    LESS: ClassVar = {Resource.PERSISTENT_BUNKERS: 1, Resource.DISK_MB: 64}

    async def claims(self, books: Books, bunker_id: str, **caps: int) -> tuple[Claim, Claim]:
        """What one bunker holds awake and asleep, with these caps on all that its owner holds."""
        user_id = (await books.me())["user_id"]
        await books.stack.run_task("scaibunker.mend_holds")  # counters are whole from then on
        bucket = user_bucket(user_id)
        cap = {Resource(name): Cap(most, "qpf_1", "one") for name, most in caps.items()}
        return (
            Claim(bunker_id, self.WHOLE, {bucket: cap}),
            Claim(bunker_id, self.LESS, {bucket: {}}),
        )

    async def test_memory_is_given_back_and_judged_again(self, roomy: Stack, books: Books) -> None:
        caps = {"memory_mb": 64, "disk_mb": 128}
        whole, less = await self.claims(books, "bnk_first", **caps)
        other, _ = await self.claims(books, "bnk_second", **caps)
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

    async def test_of_two_changes_the_later_one_counts(self, roomy: Stack, books: Books) -> None:
        """Whichever reaches Redis first, by the revision of the bunker's row."""
        whole, less = await self.claims(books, "bnk_late")
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

    async def test_what_redis_was_not_told_is_found(self, roomy: Stack, books: Books) -> None:
        """Its rows say less: whoever wrote them died before Redis was told."""
        made = (await attempt(roomy)).json()["data"]["id"]
        bucket = user_bucket((await books.me())["user_id"])
        async with roomy.grid.database.write() as db:
            await holds.keep(books.op, db, made, KEPT_ASLEEP)
            left = kept_asleep(made, await holds.of_bunker(books.op, db, made))
        await roomy.run_task("scaibunker.mend_holds")
        assert await books.counted(bucket) == 0
        assert await books.counted(bucket, Resource.DISK_MB) == left.amounts[Resource.DISK_MB] == 64
        kinds = TestDrift()
        assert await kinds.mended(books, "orphan") == 1
        assert await kinds.mended(books, "counter") == 0
        await books.agree()

    async def test_a_change_on_its_way_is_no_drift(self, roomy: Stack, books: Books) -> None:
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
        kinds = TestDrift()
        assert [await kinds.mended(books, k) for k in ("orphan", "counter")] == [0, 0]
        assert await books.counted(bucket) == 1


class TestTheScripts:
    """What is whole or not at all."""

    async def test_holding_and_letting_go_twice_counts_once(
        self, roomy: Stack, books: Books
    ) -> None:
        made = (await attempt(roomy)).json()["data"]["id"]
        assert await books.counters.let_go(made)
        assert not await books.counters.let_go(made)
        assert await books.counters.counted() == {}

    async def test_what_ends_while_it_is_counted_anew_is_not_put_back(
        self, roomy: Stack, books: Books
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

    async def test_who_counts_anew_is_told_that_it_was_wiped(
        self, roomy: Stack, books: Books
    ) -> None:
        await attempt(roomy)
        async with roomy.grid.database.read() as db:
            held = await holds.page(books.op, db, "", 10)
        assert await books.counters.begin("token")
        assert not await books.counters.begin("another")
        await books.wipe()
        assert not await books.counters.put_back("token", held)
        assert not await books.counters.finish("token", "e")
