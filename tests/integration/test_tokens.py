"""Tokens of an identity provider in place of API keys."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from scaigrid.auth import jwks
from tests.identity_provider import KeyServer, Signer, forged, key_server
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

OLD, NEW, OTHER = Signer("old"), Signer("new"), Signer("other")
REFUSED = (401, "AUTH_TOKEN_INVALID")


@pytest.fixture
async def provider() -> AsyncIterator[KeyServer]:
    async with key_server() as server:
        server.publish(OLD)
        yield server


@pytest.fixture
def knobs(provider: KeyServer) -> Knobs:
    """What is remembered is remembered for long: nothing here may rest on its being forgotten."""
    return Knobs(
        auth_cache_ttl_s=60,
        jwt={
            "jwks_url": provider.url,
            "issuer": "https://idp.test",
            "audience": "scaigrid",
            "leeway_s": 0,
            "refresh_s": 1,
        },
    )


def token(signer: Signer, sub: str, **claims: Any) -> str:
    return signer.token(**{"iss": "https://idp.test", "aud": "scaigrid", "sub": sub, **claims})


async def me(stack: Stack, bearer: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {bearer}"}
    return await stack.client.get("/v1/me", headers=headers)


@pytest.fixture
async def user_id(bare: Stack) -> str:
    return str((await bare.data_of("GET", "/v1/me"))["user_id"])


async def test_a_token_is_as_good_as_a_key_of_its_user(bare: Stack, user_id: str) -> None:
    path = f"/v1/users/{user_id}"
    by_key = await bare.data_of("GET", "/v1/me")
    by_id = await me(bare, token(OLD, user_id))
    assert (by_id.status_code, by_id.json()["data"]) == (200, by_key)
    assert error_of(await me(bare, token(OLD, "Ann|1"))) == REFUSED
    await bare.data_of("PATCH", path, "super_admin", json={"subject": "Ann|1"})
    by_subject = await me(bare, token(OLD, "Ann|1"))
    assert (by_subject.status_code, by_subject.json()["data"]) == (200, by_key)
    for sub in ("ann|1", "Ann|1 ", "Ann|", "Ann%", user_id.upper()):
        assert error_of(await me(bare, token(OLD, sub))) == REFUSED, sub


async def test_what_shuts_the_user_out_shuts_its_tokens_out(bare: Stack, user_id: str) -> None:
    path = f"/v1/users/{user_id}"
    await bare.data_of("PATCH", path, "super_admin", json={"subject": "ann"})
    mine = token(OLD, "ann")
    assert (await me(bare, mine)).status_code == 200
    await bare.data_of("PATCH", path, "super_admin", json={"status": "disabled"})
    assert error_of(await me(bare, mine)) == (403, "USER_DISABLED")
    await bare.data_of("PATCH", path, "super_admin", json={"status": "active", "subject": None})
    assert error_of(await me(bare, mine)) == REFUSED


async def test_bad_tokens_are_refused_alike(bare: Stack, user_id: str) -> None:
    header = {"alg": "none", "kid": "old"}
    bad = [
        forged(header, {"sub": user_id, "exp": int(time.time()) + 60}),
        token(OLD, user_id)[:-8] + "AAAAAAAA",
        token(OLD, user_id, exp=int(time.time()) - 1),
        token(OLD, user_id, exp=None),
        token(OLD, user_id, aud="other"),
        token(OLD, user_id, iss="https://other.test"),
        token(OLD, user_id, scope="x" * 8192),
        token(OLD, "\ud800"),
        token(OTHER, user_id),
        "a.b.c",
    ]
    answers = [await me(bare, each) for each in bad]
    assert {error_of(answer) for answer in answers} == {REFUSED}
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1


async def test_the_end_of_a_token_is_not_forgotten(bare: Stack, user_id: str) -> None:
    brief = ""

    async def good() -> bool:
        nonlocal brief
        brief = token(OLD, user_id, exp=int(time.time()) + 3)
        return (await me(bare, brief)).status_code == 200

    await until(good)  # a host that stands still may be too late for one

    async def refused() -> bool:
        return (await me(bare, brief)).status_code == 401

    await until(refused)


async def test_rotation(bare: Stack, provider: KeyServer, user_id: str) -> None:
    assert (await me(bare, token(OLD, user_id))).status_code == 200
    provider.publish(OLD, NEW)

    async def good() -> bool:
        return (await me(bare, token(NEW, user_id, jti="new"))).status_code == 200

    await until(good)
    assert (await me(bare, token(OLD, user_id, jti="1"))).status_code == 200
    provider.publish(NEW)
    fetches = provider.fetches
    await until(lambda: provider.fetches >= fetches + 2)
    assert error_of(await me(bare, token(OLD, user_id, jti="2"))) == REFUSED
    assert (await me(bare, token(NEW, user_id, jti="3"))).status_code == 200


async def test_a_provider_that_is_away_is_no_fault_of_the_token(
    bare: Stack, provider: KeyServer, user_id: str
) -> None:
    assert (await me(bare, token(OLD, user_id))).status_code == 200
    provider.status = 503

    async def noticed() -> bool:
        health = await bare.data_of("GET", "/health/detailed", "super_admin")
        [part] = [p for p in health["components"] if p["name"] == "identity provider"]
        return bool(part["health"] != "ok")

    await until(noticed)
    refused = await me(bare, token(NEW, user_id))
    assert error_of(refused) == (503, "AUTH_UNAVAILABLE")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await me(bare, token(OLD, user_id, jti="other"))).status_code == 200
    assert (await bare.call("GET", "/v1/me")).status_code == 200
    assert (await bare.call("GET", "/health/ready", None)).status_code == 200


async def test_made_up_keys_do_not_flood_the_provider(
    bare: Stack, provider: KeyServer, user_id: str
) -> None:
    begun, fetches = time.monotonic(), provider.fetches
    made_up = [OLD.token({"kid": f"random-{n}"}, sub=user_id) for n in range(200)]
    answers = await asyncio.gather(*(me(bare, each) for each in made_up))
    assert {error_of(answer) for answer in answers} == {REFUSED}
    # One that they cause in each pause, and those of the schedule.
    passed = time.monotonic() - begun
    assert provider.fetches - fetches <= 2 + passed / jwks.PAUSE_S + passed
    assert (await me(bare, token(OLD, user_id))).status_code == 200
