"""Rate limits over HTTP: who is limited, who is told what, and what Redis may do meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scaigrid.auth import repository
from scaigrid.settings import RedisSettings
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of
from tests.servers import RedisServer, running
from tests.waiting import A_WHILE_S, until

LIMIT = "x-ratelimit-limit"
LEFT = "x-ratelimit-remaining"
BOGUS = {"Authorization": "Bearer sgk_" + "x" * 43}


@pytest.fixture
def knobs() -> Knobs:
    limits = {"per_key": 12, "per_user": 12, "per_tenant": 20, "failures_per_address": 5}
    return Knobs(rate_limits=limits | {"window_s": 3600})


@pytest.fixture
async def replica(bare: Stack) -> AsyncIterator[Stack]:
    """Another controller beside the first."""
    other = Stack(bare.data, bare.database_settings, bare.redis_settings, bare.keys, bare.knobs)
    await other.start()
    yield other
    await other.stop()


async def me(stack: Stack, who: str = "user") -> httpx.Response:
    return await stack.call("GET", "/v1/me", who)


async def test_every_answer_to_a_caller_tells_what_is_left(bare: Stack) -> None:
    answers = [
        await me(bare),
        await bare.call("GET", "/bunkers/bnk_none"),
        await bare.call("GET", "/workers"),
        await bare.call("POST", "/bunkers", json={"image": 7}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 403, 422]
    assert [answer.headers[LEFT] for answer in answers] == ["11", "10", "9", "8"]
    assert {answer.headers[LIMIT] for answer in answers} == {"12"}
    assert 0 < int(answers[0].headers["x-ratelimit-reset"]) <= 3600
    for path in ("/health", "/v1/me", "/nowhere"):
        assert LIMIT not in (await bare.call("GET", path, None)).headers


async def test_a_caller_over_its_limit_is_refused_and_others_are_not(bare: Stack) -> None:
    for _ in range(12):
        assert (await me(bare)).status_code == 200
    refused = await bare.call("POST", "/bunkers", json={"image": "debian-12"})
    assert error_of(refused) == (429, "RATE_LIMITED")
    wait = refused.json()["error"]["retry_after"]
    assert 1 <= wait <= 7200
    assert refused.headers["retry-after"] == str(round(wait))
    assert (refused.headers[LEFT], refused.headers[LIMIT]) == ("0", "12")
    assert (await me(bare, "stranger")).status_code == 200
    # The tenant's 20: 12 of its user, and what the refused request did not use.
    statuses = [(await me(bare, "viewer")).status_code for _ in range(9)]
    assert statuses == [200] * 8 + [429]
    log = await bare.call("GET", "/v1/audit-log", "tenant_admin")
    assert error_of(log) == (429, "RATE_LIMITED")


async def test_replicas_share_the_windows(bare: Stack, replica: Stack) -> None:
    for turn in range(12):
        answer = await me(replica if turn % 2 else bare)
        assert answer.headers[LEFT] == str(11 - turn)
    assert (await me(bare)).status_code == (await me(replica)).status_code == 429


async def test_many_at_once_get_no_more_than_there_is(bare: Stack) -> None:
    answers = await asyncio.gather(*(me(bare) for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [200] * 12 + [429] * 18


async def test_guesses_are_limited_before_they_cost_a_look_up(
    bare: Stack, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = 0
    holder = repository.by_digest

    async def counted(*args: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        return await holder(*args)

    assert (await me(bare)).status_code == 200  # known from here on
    monkeypatch.setattr(repository, "by_digest", counted)
    answers = [await bare.call("GET", "/v1/me", None, headers=BOGUS) for _ in range(5)]
    answers += [await bare.call("GET", "/v1/me", None) for _ in range(3)]
    answers += [await bare.call("GET", "/v1/me", None, headers=BOGUS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 6
    assert answers[-1].json()["error"]["code"] == "RATE_LIMITED"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert looked_up == 5
    assert (await me(bare)).status_code == 200
    assert (await me(bare, "viewer")).status_code == 429  # has not been here before
    await worker.beat(bare.client)
    key = await bare.data_of("POST", "/v1/api-keys", json={"name": "n"})
    one = {"Authorization": f"Bearer {key['key']}"}
    assert (await bare.call("GET", "/v1/me", None, headers=one)).status_code == 429


async def test_a_credential_that_was_good_is_looked_at_until_it_is_not(bare: Stack) -> None:
    key = await bare.data_of("POST", "/v1/api-keys", json={"name": "n"})
    one = {"Authorization": f"Bearer {key['key']}"}
    assert (await bare.call("GET", "/v1/me", None, headers=one)).status_code == 200
    for _ in range(6):
        await bare.call("GET", "/v1/me", None)
    assert (await bare.call("GET", "/v1/me", None, headers=one)).status_code == 200
    await bare.data_of("DELETE", f"/v1/api-keys/{key['id']}")
    for _ in range(2):
        answer = await bare.call("GET", "/v1/me", None, headers=one)
        assert error_of(answer) == (429, "RATE_LIMITED")


async def test_the_limits_may_be_off(
    bare: Stack, knobs: Knobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = dict.fromkeys(("per_key", "per_user", "per_tenant", "failures_per_address"), 0)
    knobs.rate_limits |= off
    await bare.restart()
    for _ in range(15):
        answer = await me(bare)
        assert answer.status_code == 200
        assert LIMIT not in answer.headers
        assert (await bare.call("GET", "/v1/me", None)).status_code == 401


class TestRedisAway:
    """With a Redis of its own."""

    @pytest.fixture
    def own_redis(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        yield from running(RedisServer(tmp_path_factory.mktemp("own-redis")))

    @pytest.fixture
    def redis_settings(self, own_redis: RedisServer) -> RedisSettings:
        return RedisSettings(url=own_redis.url, timeout_s=A_WHILE_S)

    async def test_nobody_is_limited_meanwhile(self, bare: Stack, own_redis: RedisServer) -> None:
        for _ in range(12):
            await me(bare)
        assert (await me(bare)).status_code == 429
        own_redis.kill()
        for _ in range(15):
            answer = await me(bare)
            assert answer.status_code == 200
            assert LIMIT not in answer.headers
        own_redis.start()
        answers: list[httpx.Response] = []

        async def limited_again() -> bool:
            answers.append(await me(bare))
            return LIMIT in answers[-1].headers

        await until(limited_again)
        assert answers[-1].status_code == 200  # what it knew is gone
        assert answers[-1].headers[LEFT] == "11"
        own_redis.wipe()
        assert (await me(bare)).headers[LEFT] == "11"


@pytest.mark.parametrize(
    ("trusted", "address"),
    [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9"), (("192.0.2.1",), "127.0.0.1")],
)
async def test_the_address_that_a_proxy_tells_is_believed_if_it_is_trusted(
    bare: Stack, knobs: Knobs, trusted: tuple[str, ...], address: str, tmp_path: Path
) -> None:
    knobs.http["trusted_proxies"] = trusted
    await bare.restart()
    told = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    await bare.call("POST", "/bunkers", None, headers=told)
    [entry] = await bare.data_of("GET", "/v1/audit-log", "super_admin")
    assert entry["address"] == address
