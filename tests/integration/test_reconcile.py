"""Bunkers get to where they should be, whoever dies on the way."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from scaibunker.wire.worker.machines import MachineState
from tests.integration.commands import hanging
from tests.integration.refusals import never, refuse
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(terminate_wait_s=5, request_timeout_s=2)


async def unavailable(_: web.Request) -> web.StreamResponse:
    return refuse(503, "INTERNAL_ERROR", "busy")


async def being_built(stack: Stack, worker: SimulatedWorker) -> dict[str, Any]:
    """A bunker whose machine does not come up."""
    worker.boot = "building"
    made = await stack.create(wait=False)
    await until(lambda: made["id"] in worker.machines)
    return made


async def test_a_controller_that_dies_before_it_orders_orders_after_its_restart(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.faults["PUT /v1/machines/"] = never
    made = await stack.create(wait=False)
    await stack.until_status(made["id"], "provisioning")
    await stack.stop()
    assert worker.orders == []
    worker.faults.clear()
    await stack.start()
    # A report from before the order would bring about another one.
    await until(lambda: made["id"] in worker.orders)
    async with beating(worker, stack.client):
        await stack.until_status(made["id"], "running")
    assert worker.orders == [made["id"]]


async def test_a_controller_that_dies_after_the_order_finds_the_machine_running(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await being_built(stack, worker)
    await stack.stop()
    worker.become(made["id"], MachineState.RUNNING)
    await stack.start()
    async with beating(worker, stack.client):
        await stack.until_status(made["id"], "running")
    assert len(worker.machines) == 1


async def test_a_controller_that_dies_while_it_ends_a_bunker_ends_it_after_its_restart(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await stack.create()
    worker.faults["DELETE /v1/machines/"] = never
    ending = asyncio.create_task(stack.call("DELETE", f"/bunkers/{made['id']}"))

    async def wanted() -> bool:
        record = await stack.data_of("GET", f"/bunkers/{made['id']}")
        return "being terminated" in (record["status_reason"] or "")

    await until(wanted)
    await stack.stop()
    await asyncio.gather(ending, return_exceptions=True)
    worker.faults.clear()
    await stack.start()
    async with beating(worker, stack.client):
        await stack.until_status(made["id"], "terminated")
        await until(lambda: worker.machines == {})


async def test_a_restart_changes_nothing_about_what_runs(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await stack.create()
    await stack.restart()
    async with beating(worker, stack.client):
        result = await stack.data_of("POST", f"/bunkers/{made['id']}/exec", json={"command": "x"})
    assert result["exit_code"] == 0
    assert worker.removed == []


async def test_a_machine_that_dies_fails_its_bunker_with_the_reason(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await stack.create()
    worker.become(made["id"], MachineState.FAILED, "the VMM was killed by SIGKILL", "last words")
    await worker.beat(stack.client)
    record = await stack.until_status(made["id"], "failed")
    assert "SIGKILL" in record["status_reason"]
    assert "last words" in record["status_reason"]
    assert record["terminated_at"] is not None
    await until(lambda: worker.removed == [made["id"]])


async def test_a_machine_that_a_report_leaves_out_is_asked_for_before_it_counts_as_lost(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await stack.create()
    kept, worker.machines = worker.machines, {}
    report = worker.heartbeat()
    worker.machines = kept
    asked = []

    async def note(request: web.Request) -> None:
        asked.append(request.path)

    worker.faults["GET /v1/machines/"] = note
    response = await worker.send(stack.client, report)
    assert response.status_code == 200
    await until(lambda: bool(asked))
    async with beating(worker, stack.client):
        await asyncio.sleep(0.5)
        assert await stack.status(made["id"]) == "running"


async def test_a_machine_that_is_gone_is_lost(stack: Stack, worker: SimulatedWorker) -> None:
    made = await stack.create()
    worker.machines.clear()
    await worker.beat(stack.client)
    record = await stack.until_status(made["id"], "failed")
    assert record["status_reason"] == "lost by its worker"


async def test_a_machine_that_vanishes_while_it_is_built_is_ordered_again(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await being_built(stack, worker)
    worker.machines.clear()
    worker.boot = "running"
    await worker.beat(stack.client)
    await stack.until_status(made["id"], "running")
    assert worker.orders.count(made["id"]) >= 2


async def test_machines_that_should_not_exist_are_named(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await stack.create()
    other = SimulatedWorker("wrk_other")
    await other.start()
    other.machines = dict(worker.machines)  # it claims a bunker of another worker
    assert (await other.beat(stack.client)).terminate == [made["id"]]
    await other.stop()
    stray = worker.machines[made["id"]]
    worker.machines["bnk_stray"] = type(stray)(
        stray.spec.model_copy(update={"bunker_id": "bnk_stray"}), MachineState.RUNNING
    )
    assert (await worker.beat(stack.client)).terminate == ["bnk_stray"]
    await stack.data_of("DELETE", f"/bunkers/{made['id']}")
    worker.machines = {made["id"]: stray}  # and one that had been taken down comes back
    assert (await worker.beat(stack.client)).terminate == [made["id"]]


async def test_a_worker_that_refuses_the_order_fails_the_bunker(
    stack: Stack, worker: SimulatedWorker
) -> None:
    async def no_image(_: web.Request) -> web.StreamResponse:
        return refuse(409, "IMAGE_NOT_READY", "the image is not on this host")

    worker.faults["PUT /v1/machines/"] = no_image
    record = await stack.create()
    assert record["status"] == "failed"
    assert "the image is not on this host" in record["status_reason"]


async def test_a_worker_that_is_busy_is_asked_again(stack: Stack, worker: SimulatedWorker) -> None:
    worker.faults["PUT /v1/machines/"] = unavailable
    made = await stack.create(wait=False)
    await stack.until_status(made["id"], "provisioning")
    worker.faults.clear()
    async with beating(worker, stack.client):
        await stack.until_status(made["id"], "running")


class TestProvisioningStuck:
    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(provision_timeout_s=2)

    async def test_it_fails_with_a_reason(self, stack: Stack, worker: SimulatedWorker) -> None:
        worker.boot = "building"
        record = await stack.create()
        assert record["status"] == "failed"
        assert "did not run within 2 s" in record["status_reason"]
        await until(lambda: worker.removed == [record["id"]])


class TestSilence:
    """A worker is given up soon. Not so soon that a slow disk makes one look silent that is not."""

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(heartbeat_interval_s=1, request_timeout_s=2)

    async def test_a_silent_worker_is_offline_and_what_runs_there_stays(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        made = await stack.create()

        async def offline() -> bool:
            [shown] = await stack.data_of("GET", "/workers", "super_admin")
            return bool(shown["status"] == "offline" and shown["heartbeat_age_s"] >= 3)

        async def online() -> bool:
            [shown] = await stack.data_of("GET", "/workers", "super_admin")
            return bool(shown["status"] == "online")

        await until(offline)
        refused = await stack.call("POST", "/bunkers", json={"image": "debian-12"})
        assert error_of(refused) == (503, "WORKER_UNAVAILABLE")
        assert await stack.status(made["id"]) == "running"
        async with beating(worker, stack.client):
            await until(online)
            assert await stack.status(made["id"]) == "running"

    async def test_a_bunker_that_was_being_built_moves_to_another_worker(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        made = await being_built(stack, worker)
        other = SimulatedWorker("wrk_other")
        await other.start()
        async with beating(other, stack.client):
            record = await stack.until_status(made["id"], "running")
            assert record["worker_id"] == "wrk_other"
            # The first worker comes back with its half-built machine.
            assert (await worker.beat(stack.client)).terminate == [made["id"]]
            assert await stack.status(made["id"]) == "running"
        await other.stop()

    async def test_ending_a_bunker_of_an_offline_worker_does_not_wait_for_it(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        made = await stack.create()
        await worker.stop()
        record = await stack.data_of("DELETE", f"/bunkers/{made['id']}")
        assert record["status"] == "terminated"
        assert "offline" in record["status_reason"]
        await worker.start()
        answer = await worker.beat(stack.client)
        assert answer.terminate == [made["id"]]


class TestAnswerInTime:
    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(terminate_wait_s=0.3, request_timeout_s=1)

    async def test_delete_goes_on_in_the_background(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        made = await stack.create()
        worker.faults["DELETE /v1/machines/"] = unavailable
        record = await stack.data_of("DELETE", f"/bunkers/{made['id']}")
        assert record["status"] == "running"
        assert "being terminated" in record["status_reason"]
        command = await stack.call("POST", f"/bunkers/{made['id']}/exec", json={"command": "x"})
        assert error_of(command) == (409, "BUNKER_NOT_RUNNING")
        worker.faults.clear()
        await stack.until_status(made["id"], "terminated")

    async def test_pause_says_that_it_is_still_wanted(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        made = await stack.create()
        worker.faults[f"PUT /v1/machines/{made['id']}/power"] = unavailable
        response = await stack.call("POST", f"/bunkers/{made['id']}/pause")
        assert error_of(response) == (502, "WORKER_UNREACHABLE")
        worker.faults.clear()
        await stack.until_status(made["id"], "paused")


async def test_a_bunker_that_is_ended_while_it_is_built(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await being_built(stack, worker)
    assert (await stack.data_of("DELETE", f"/bunkers/{made['id']}"))["status"] == "terminated"
    assert worker.machines == {}


async def test_lifetime_ends_a_bunker(stack: Stack, worker: SimulatedWorker) -> None:
    made = await stack.create(max_lifetime_s=1)
    async with beating(worker, stack.client):
        record = await stack.until_status(made["id"], "terminated")
    assert record["status_reason"] == "its lifetime of 1 s is over"
    assert worker.machines == {}


async def test_idleness_ends_a_bunker_but_use_keeps_it(
    stack: Stack, worker: SimulatedWorker
) -> None:
    idle, used = [(await stack.create(idle_timeout_s=3))["id"] for _ in range(2)]

    async def keep_using() -> None:
        while True:
            await stack.data_of("POST", f"/bunkers/{used}/keepalive")
            await asyncio.sleep(0.1)

    using = asyncio.create_task(keep_using())
    async with beating(worker, stack.client):
        record = await stack.until_status(idle, "terminated")
        assert record["status_reason"] == "it was idle for 3 s"
        assert await stack.status(used) == "running"
    using.cancel()


async def test_a_running_command_is_no_idleness(stack: Stack, worker: SimulatedWorker) -> None:
    async def slow(_: Any, output: Any) -> None:
        await asyncio.sleep(4.5)
        await output.exit(0)

    worker.commands["slow"] = slow
    made = await stack.create(idle_timeout_s=3)
    async with beating(worker, stack.client):
        result = await stack.data_of(
            "POST", f"/bunkers/{made['id']}/exec", json={"command": "slow"}
        )
        assert result["exit_code"] == 0


async def test_a_persistent_bunker_is_not_ended_by_its_limits(
    stack: Stack, worker: SimulatedWorker
) -> None:
    kept = await stack.create(lifecycle_mode="persistent", max_lifetime_s=1, idle_timeout_s=1)
    gone = await stack.create(max_lifetime_s=1)
    async with beating(worker, stack.client):
        await stack.until_status(gone["id"], "terminated")
        await asyncio.sleep(0.5)
        assert await stack.status(kept["id"]) == "running"


async def test_commands_of_a_bunker_that_ended_do_not_stay_running(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.commands["forever"] = hanging()
    made = await stack.create()
    path = f"/bunkers/{made['id']}"
    await stack.data_of("POST", f"{path}/exec", json={"command": "forever", "detach": True})
    await stack.data_of("DELETE", path)
    await stack.run_task("scaibunker.sweep_timeouts")
    [entry] = await stack.data_of("GET", f"{path}/execs")
    assert entry["state"] == "lost"


async def test_an_answer_that_makes_no_sense_is_asked_for_again(
    stack: Stack, worker: SimulatedWorker
) -> None:
    answers = [b"<html>", b"[]", b'{"bunker_id": 1}', b"\xff" * 100]

    async def nonsense(_: web.Request) -> web.StreamResponse | None:
        return web.Response(body=answers.pop(), status=202) if answers else None

    worker.faults["PUT /v1/machines/"] = nonsense
    async with beating(worker, stack.client):
        record = await stack.create()
    assert record["status"] == "running"
    assert answers == []


async def test_a_storm_of_creates_and_deletes_leaves_nothing(
    stack: Stack, worker: SimulatedWorker
) -> None:
    async def one(number: int) -> None:
        record = await stack.create(wait=bool(number % 2))
        if number % 3:
            await stack.call("POST", f"/bunkers/{record['id']}/exec", json={"command": "x"})
        await stack.data_of("DELETE", f"/bunkers/{record['id']}")
        await stack.until_status(record["id"], "terminated")

    async with beating(worker, stack.client):
        await asyncio.gather(*(one(n) for n in range(15)))
        await until(lambda: worker.machines == {})
    [shown] = await stack.data_of("GET", "/workers", "super_admin")
    assert (shown["bunkers"], shown["reserved"]["memory_mb"]) == (0, 0)
