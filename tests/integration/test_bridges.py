"""Bridges: made in two phases, plugged into, taken down; whatever their worker does meanwhile."""

import asyncio
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import update

from scaibunker.controller.bridges import reconcile
from scaibunker.controller.bridges.tables import bridges
from scaibunker.wire.worker.bridges import BridgeSpec
from tests.integration.inside import whole
from tests.integration.refusals import never, refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

PATH = "/bridges"


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(request_timeout_s=0.5)


@pytest.fixture
async def stack(stack: Stack, worker: SimulatedWorker) -> Stack:
    worker.network_profiles.append("transit")
    await worker.beat(stack.client)
    return stack


def body(name: str = "lan", worker_id: str = "wrk_sim") -> dict[str, str]:
    return {"name": name, "worker_id": worker_id}


async def make(stack: Stack, name: str = "lan", who: str = "tenant_admin") -> dict[str, Any]:
    made: dict[str, Any] = await stack.data_of("POST", PATH, who, json=body(name))
    return made


async def gone(stack: Stack, bridge_id: str) -> bool:
    response = await stack.call("GET", f"{PATH}/{bridge_id}", "tenant_admin")
    return error_of(response) == (404, "BRIDGE_NOT_FOUND") if response.is_error else False


async def names(stack: Stack, who: str = "tenant_admin") -> list[str]:
    return [each["name"] for each in await stack.data_of("GET", PATH, who)]


async def age(stack: Stack, **values: Any) -> None:
    """Rows as they were left by a controller that has died long ago."""
    then = stack.grid.clock.now() - 2 * reconcile.PATIENCE
    async with stack.grid.database.write() as db:
        await db.execute(whole(update(bridges).values(updated_at=then, **values)))


async def test_a_bridge_is_made_read_listed_and_deleted(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await make(stack)
    assert made["id"].startswith("brg_")
    assert (made["name"], made["worker_id"], made["status"]) == ("lan", "wrk_sim", "ready")
    spec = worker.bridges.known[made["id"]]
    assert (spec.tenant_id, spec.name) == (made["tenant_id"], "lan")
    assert await stack.data_of("GET", f"{PATH}/{made['id']}", "tenant_admin") == made
    assert await stack.data_of("GET", PATH, "tenant_admin") == [made]
    deleted = await stack.data_of("DELETE", f"{PATH}/{made['id']}", "tenant_admin")
    assert deleted["status"] == "deleting"
    assert worker.bridges.known == {}
    assert await gone(stack, made["id"])
    again = await stack.call("DELETE", f"{PATH}/{made['id']}", "tenant_admin")
    assert error_of(again) == (404, "BRIDGE_NOT_FOUND")


async def test_a_name_is_taken_once_in_a_tenant(stack: Stack, worker: SimulatedWorker) -> None:
    await make(stack)
    again = await stack.call("POST", PATH, "tenant_admin", json=body())
    assert error_of(again) == (409, "NAME_CONFLICT")
    await make(stack, who="stranger")
    assert len(worker.bridges.known) == 2
    assert await names(stack, "stranger") == ["lan"]


@pytest.mark.parametrize("name", ["", " lan", "lan ", "a/b", "a,b", "-a", "x" * 64, "ä"])
async def test_a_name_is_one_that_interfaces_can_name(stack: Stack, name: str) -> None:
    response = await stack.call("POST", PATH, "tenant_admin", json=body(name))
    assert error_of(response) == (422, "VALIDATION_ERROR")


async def test_a_worker_that_is_not_there_or_does_not_offer_it(
    stack: Stack, worker: SimulatedWorker
) -> None:
    missing = await stack.call("POST", PATH, "tenant_admin", json=body(worker_id="wrk_nobody"))
    assert error_of(missing) == (404, "WORKER_NOT_FOUND")
    worker.network_profiles.remove("transit")
    await worker.beat(stack.client)
    refused = await stack.call("POST", PATH, "tenant_admin", json=body())
    assert error_of(refused) == (503, "NO_SUITABLE_WORKER")
    assert await names(stack) == []


async def test_what_the_worker_refuses_is_rolled_back_and_told(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.faults["PUT /v1/bridges"] = _full
    response = await stack.call("POST", PATH, "tenant_admin", json=body())
    assert error_of(response) == (503, "NO_SUITABLE_WORKER")
    assert "there are bridges enough" in response.json()["error"]["message"]
    assert await names(stack) == []
    worker.faults.clear()
    await make(stack)


async def test_a_worker_that_cannot_be_reached_leaves_nothing(
    stack: Stack, worker: SimulatedWorker
) -> None:
    await worker.stop()
    response = await stack.call("POST", PATH, "tenant_admin", json=body())
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    assert "nothing was done" in response.json()["error"]["message"]
    assert await names(stack) == []


async def lost(worker: SimulatedWorker, request: web.Request) -> web.StreamResponse:
    """A fault: the bridge is made, and nobody hears of it."""
    worker.bridges.make(BridgeSpec.model_validate_json(await request.read()))
    return await never(request)


async def test_what_a_worker_made_though_its_answer_was_lost_is_taken_down(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.faults["PUT /v1/bridges"] = partial(lost, worker)
    response = await stack.call("POST", PATH, "tenant_admin", json=body())
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    assert "may have made" in response.json()["error"]["message"]
    assert await names(stack) == []
    assert len(worker.bridges.known) == 1
    worker.faults.clear()
    await worker.beat(stack.client)
    await until(lambda: not worker.bridges.known)


async def test_an_order_that_arrives_late_makes_nothing_that_stays(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.faults["PUT /v1/bridges"] = never
    response = await stack.call("POST", PATH, "tenant_admin", json=body())
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    worker.faults.clear()
    kept = await make(stack)  # the name is free
    worker.bridges.make(BridgeSpec(bridge_id="brg_0late", tenant_id=kept["tenant_id"], name="lan"))
    await worker.beat(stack.client)
    await until(lambda: set(worker.bridges.known) == {kept["id"]})
    assert (await stack.data_of("GET", f"{PATH}/{kept['id']}", "tenant_admin"))["status"] == "ready"


async def test_a_crash_between_the_phases_is_repaired(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await make(stack)
    worker.bridges.known.clear()
    await age(stack, status="creating")
    await until(lambda: _status_is(stack, made["id"], "ready"))
    assert set(worker.bridges.known) == {made["id"]}


async def test_a_crash_between_the_phases_is_rolled_back_if_the_worker_refuses(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await make(stack)
    worker.faults["PUT /v1/bridges"] = _full
    await age(stack, status="creating")
    await until(lambda: gone(stack, made["id"]))


async def test_nobody_but_its_request_finishes_a_bridge_that_is_being_made(
    stack: Stack, worker: SimulatedWorker
) -> None:
    go_on = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse | None:
        await go_on.wait()
        return None

    worker.faults["PUT /v1/bridges"] = slow
    asking = asyncio.create_task(make(stack))
    await until(lambda: names(stack))
    [seen] = await stack.data_of("GET", PATH, "tenant_admin")
    assert seen["status"] == "creating"
    await worker.beat(stack.client)
    assert worker.bridges.asked == []
    go_on.set()
    assert (await asking)["status"] == "ready"
    assert worker.bridges.asked == [seen["id"]]


async def test_the_same_request_again_makes_the_bridge_once(
    stack: Stack, worker: SimulatedWorker
) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await stack.call("POST", PATH, "tenant_admin", json=body(), headers=headers)
    again = await stack.call("POST", PATH, "tenant_admin", json=body(), headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.json()["data"] == again.json()["data"]
    assert len(worker.bridges.asked) == 1


async def test_what_a_worker_has_lost_is_made_again(stack: Stack, worker: SimulatedWorker) -> None:
    made = await make(stack)
    worker.bridges.known.clear()
    await worker.beat(stack.client)
    await until(lambda: made["id"] in worker.bridges.known)
    assert await _status_is(stack, made["id"], "ready")


async def test_what_a_worker_cannot_make_again_has_failed_until_it_can(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await make(stack)
    worker.bridges.known.clear()
    worker.faults["PUT /v1/bridges"] = _full
    await worker.beat(stack.client)
    await until(lambda: _status_is(stack, made["id"], "failed"))
    record = await stack.data_of("GET", f"{PATH}/{made['id']}", "tenant_admin")
    assert "there are bridges enough" in record["status_reason"]
    worker.faults.clear()
    await until(lambda: _status_is(stack, made["id"], "ready"))


async def test_a_report_that_says_nothing_of_bridges_loses_none(
    stack: Stack, worker: SimulatedWorker
) -> None:
    await make(stack)
    report = worker.heartbeat().model_copy(update={"bridges": None})
    (await worker.send(stack.client, report)).raise_for_status()
    await worker.beat(stack.client)
    assert len(worker.bridges.asked) == 1


async def test_a_worker_that_does_not_answer_is_asked_again_to_take_a_bridge_down(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await make(stack)
    worker.faults["DELETE /v1/bridges"] = never
    for _ in range(2):  # the second time it is on its way already
        deleted = await stack.data_of("DELETE", f"{PATH}/{made['id']}", "tenant_admin")
        assert deleted["status"] == "deleting"
    taken = await stack.call("POST", PATH, "tenant_admin", json=body())
    assert error_of(taken) == (409, "NAME_CONFLICT")
    worker.faults.clear()
    await until(lambda: gone(stack, made["id"]))
    assert worker.bridges.known == {}
    await make(stack)


async def test_what_machines_are_still_plugged_into_is_taken_down_when_they_are_gone(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await make(stack)
    worker.bridges.in_use.add(made["id"])
    await stack.data_of("DELETE", f"{PATH}/{made['id']}", "tenant_admin")
    await until(lambda: len(worker.bridges.removed) > 2)
    assert await _status_is(stack, made["id"], "deleting")
    worker.bridges.in_use.clear()
    await until(lambda: gone(stack, made["id"]))


async def _full(_: web.Request) -> web.StreamResponse:
    return refuse(409, "WORKER_UNAVAILABLE", "there are bridges enough")


async def _status_is(stack: Stack, bridge_id: str, status: str) -> bool:
    record = await stack.data_of("GET", f"{PATH}/{bridge_id}", "tenant_admin")
    return bool(record["status"] == status)


class TestGone:
    """A worker that does not come back."""

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(request_timeout_s=0.5, heartbeat_interval_s=0.3)

    async def test_a_bridge_of_a_worker_that_is_lost_can_be_deleted(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        made = await make(stack)
        await worker.stop()
        first = await stack.data_of("DELETE", f"{PATH}/{made['id']}", "tenant_admin")
        assert first["status"] == "deleting"
        await until(lambda: gone(stack, made["id"]))
        # It comes back after all, with what it had.
        await worker.start()
        await worker.beat(stack.client)
        await until(lambda: not worker.bridges.known)

    async def test_a_bridge_that_was_begun_on_a_worker_that_is_lost_is_given_up(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        made = await make(stack)
        await worker.stop()
        await age(stack, status="creating")
        await until(lambda: gone(stack, made["id"]))
