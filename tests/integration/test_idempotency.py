"""`Idempotency-Key`: a POST that is sent twice is done once."""

import asyncio
import secrets
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from scaibunker.wire.guest.execs import ExecStart
from scaigrid.db import Writer
from scaigrid.idempotency import domain, repository
from scaigrid.idempotency.tables import idempotency_keys
from scaigrid.operation import Operation
from tests.integration.commands import Output
from tests.integration.inside import whole
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of
from tests.integration.stores import ONE_DATABASE


@pytest.fixture
def key() -> str:
    return secrets.token_hex(8)


async def create(stack: Stack, key: str, who: str = "user", **body: Any) -> Any:
    return await stack.call(
        "POST",
        "/bunkers",
        who,
        json={"image": "debian-12", **body},
        headers={"Idempotency-Key": key},
    )


async def forget_answers(stack: Stack) -> None:
    """As if every attempt so far had died before its answer was kept."""
    async with stack.grid.database.write() as db:
        await db.execute(whole(update(idempotency_keys).values(status=None, body=None)))


async def test_the_same_request_gives_the_first_answer_again(stack: Stack, key: str) -> None:
    first, second = await create(stack, key), await create(stack, key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-request-id"] == first.headers["x-request-id"]
    assert len(await stack.data_of("GET", "/bunkers")) == 1


async def test_another_body_or_path_is_a_conflict(stack: Stack, key: str) -> None:
    await create(stack, key)
    other = await create(stack, key, memory_mb=128)
    assert error_of(other) == (409, "IDEMPOTENCY_CONFLICT")
    elsewhere = await stack.call(
        "POST", "/v1/api-keys", json={"name": "x"}, headers={"Idempotency-Key": key}
    )
    assert error_of(elsewhere) == (409, "IDEMPOTENCY_CONFLICT")
    query = await stack.call(
        "POST",
        "/bunkers?wait=running",
        json={"image": "debian-12"},
        headers={"Idempotency-Key": key},
    )
    assert error_of(query) == (409, "IDEMPOTENCY_CONFLICT")


async def test_a_key_belongs_to_its_caller(stack: Stack, key: str) -> None:
    first = await create(stack, key, "user")
    second = await create(stack, key, "tenant_admin", memory_mb=128)
    assert second.status_code == 201
    assert first.json()["data"]["id"] != second.json()["data"]["id"]


async def test_the_same_request_many_times_at_once_is_done_once(stack: Stack, key: str) -> None:
    answers = await asyncio.gather(*(create(stack, key) for _ in range(10)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert len(await stack.data_of("GET", "/bunkers")) == 1


async def test_an_entry_that_was_made_a_moment_ago_is_not_replaced(
    stack: Stack, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two look at once, and both find nothing: the later one must not take the earlier one's away."""
    first = await create(stack, key)
    find = repository.find
    blind = [True]

    async def late(op: Operation, db: Writer, which: str) -> domain.Entry | None:
        return None if blind and blind.pop() else await find(op, db, which)

    monkeypatch.setattr(repository, "find", late)
    again = await create(stack, key)
    assert not blind
    assert again.json()["data"]["id"] == first.json()["data"]["id"]
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_command_is_run_once(stack: Stack, worker: SimulatedWorker, key: str) -> None:
    bunker = (await stack.create())["id"]
    answers = [
        await stack.call(
            "POST",
            f"/bunkers/{bunker}/exec",
            json={"command": "once"},
            headers={"Idempotency-Key": key},
        )
        for _ in range(3)
    ]
    assert {a.content for a in answers} == {answers[0].content}
    assert len(worker.machines[bunker].execs) == 1


async def test_a_refusal_is_given_again_but_want_of_room_is_not(
    bare: Stack, worker: SimulatedWorker, key: str
) -> None:
    assert error_of(await create(bare, key)) == (503, "WORKER_UNAVAILABLE")
    await worker.beat(bare.client)
    assert (await create(bare, key)).status_code == 201
    missing = await create(bare, key + "x", image="nope")
    again = await create(bare, key + "x", image="nope")
    assert error_of(missing) == (404, "IMAGE_NOT_FOUND")
    assert again.content == missing.content


@ONE_DATABASE
@pytest.mark.parametrize("bad", ["", "x" * 256, "with space"])
async def test_a_bad_key_is_refused(stack: Stack, bad: str) -> None:
    response = await create(stack, bad)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert response.json()["error"]["details"][0]["field"] == "Idempotency-Key"


async def test_an_answer_with_a_secret_is_not_kept(bare: Stack, key: str) -> None:
    headers = {"Idempotency-Key": key}
    first = await bare.call("POST", "/v1/api-keys", json={"name": "a"}, headers=headers)
    assert first.status_code == 201
    again = await bare.call("POST", "/v1/api-keys", json={"name": "a"}, headers=headers)
    assert error_of(again) == (409, "IDEMPOTENCY_CONFLICT")
    names = [k["name"] for k in await bare.data_of("GET", "/v1/api-keys")]
    assert names.count("a") == 1


async def test_a_stream_is_not_run_twice(stack: Stack, worker: SimulatedWorker, key: str) -> None:
    bunker = (await stack.create())["id"]
    options: dict[str, Any] = {
        "json": {"command": "x", "stream": True},
        "headers": {"Idempotency-Key": key},
    }
    first = await stack.call("POST", f"/bunkers/{bunker}/exec", **options)
    assert first.text.endswith("data: [DONE]\n\n")
    again = await stack.call("POST", f"/bunkers/{bunker}/exec", **options)
    assert error_of(again) == (409, "IDEMPOTENCY_CONFLICT")
    assert len(worker.machines[bunker].execs) == 1


async def test_an_attempt_that_died_is_taken_over_and_makes_nothing_twice(
    stack: Stack, worker: SimulatedWorker, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after the row is written and before the answer is kept."""
    bunker = (await stack.create())["id"]
    started = asyncio.Event()

    async def forever(_: ExecStart, output: Output) -> None:
        started.set()
        await asyncio.sleep(3600)

    worker.commands["forever"] = forever
    dying = asyncio.create_task(
        stack.call(
            "POST",
            f"/bunkers/{bunker}/exec",
            json={"command": "forever"},
            headers={"Idempotency-Key": key},
        )
    )
    await started.wait()
    await stack.stop()
    await asyncio.gather(dying, return_exceptions=True)
    await stack.start()
    monkeypatch.setattr(
        "scaigrid.idempotency.service.WAIT_S", 0.0
    )  # a lease that has not run out is not waited for
    response = await stack.call(
        "POST",
        f"/bunkers/{bunker}/exec",
        json={"command": "forever"},
        headers={"Idempotency-Key": key},
    )
    assert response.status_code in (409, 502)
    assert len(worker.machines[bunker].execs) == 1


async def test_an_entry_whose_lease_ran_out_is_worked_on_with_the_same_ids(
    stack: Stack, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaigrid.idempotency.repository.LEASE", timedelta(0))
    first = await create(stack, key)
    await forget_answers(stack)
    again = await create(stack, key)
    assert again.status_code == 201
    assert again.json()["data"]["id"] == first.json()["data"]["id"]
    assert len(await stack.data_of("GET", "/bunkers")) == 1


async def test_a_command_of_an_attempt_that_died_is_not_run_again(
    stack: Stack, worker: SimulatedWorker, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaigrid.idempotency.repository.LEASE", timedelta(0))
    bunker = (await stack.create())["id"]
    options: dict[str, Any] = {"json": {"command": "x"}, "headers": {"Idempotency-Key": key}}
    first = await stack.call("POST", f"/bunkers/{bunker}/exec", **options)
    await forget_answers(stack)
    again = await stack.call("POST", f"/bunkers/{bunker}/exec", **options)
    assert error_of(again) == (502, "WORKER_UNREACHABLE")
    assert "It may have run." in again.json()["error"]["message"]
    assert first.json()["data"]["exec_id"] in again.json()["error"]["message"]
    assert len(worker.machines[bunker].execs) == 1


async def test_an_api_key_of_an_attempt_that_died_is_not_made_again(
    bare: Stack, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaigrid.idempotency.repository.LEASE", timedelta(0))
    options: dict[str, Any] = {"json": {"name": "a"}, "headers": {"Idempotency-Key": key}}
    await bare.call("POST", "/v1/api-keys", **options)
    await forget_answers(bare)
    again = await bare.call("POST", "/v1/api-keys", **options)
    assert error_of(again) == (409, "IDEMPOTENCY_CONFLICT")
    names = [k["name"] for k in await bare.data_of("GET", "/v1/api-keys")]
    assert names.count("a") == 1


async def test_expired_entries_are_forgotten_and_no_others(
    stack: Stack, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaigrid.idempotency.repository.SWEPT_AT_ONCE", 1)
    await create(stack, key)
    monkeypatch.setattr("scaigrid.idempotency.repository.KEPT_FOR", timedelta(0))
    for number in range(3):
        await create(stack, f"{key}-{number}")
    await stack.run_task("grid.idempotency")
    async with stack.grid.database.read() as db:
        assert await db.value(whole(select(func.count()).select_from(idempotency_keys))) == 1


def test_fingerprints_tell_requests_apart() -> None:
    one = domain.fingerprint("POST", "/a?", b"x")
    assert one == domain.fingerprint("POST", "/a?", b"x")
    assert one != domain.fingerprint("POST", "/a?x", b"")
    assert domain.entry_id("u", "k") != domain.entry_id("uk", "")
