"""Two controllers on one database and one Redis: what a caller sees is one."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.wire.worker.machines import MachineState
from scaigrid.operation import system_operation
from tests.integration.simulated_worker import SimulatedWorker, refuse
from tests.integration.stack import Knobs, Stack
from tests.waiting import until


@pytest.fixture
def knobs() -> Knobs:
    """The timer of no replica comes within a test: who acts is the test's to say."""
    return Knobs(reconcile_interval_s=60, request_timeout_s=5)


@pytest.fixture
async def other(bare: Stack) -> AsyncIterator[Stack]:
    """A second controller, beside `stack`."""
    made = Stack(
        bare.data, bare.database_settings, bare.redis_settings, bare.keys, replace(bare.knobs)
    )
    await made.start()
    yield made
    await made.stop()


class Asked:
    """What the worker was asked about machines, by method."""

    def __init__(self, worker: SimulatedWorker) -> None:
        self.calls: list[tuple[str, str]] = []
        for method in ("GET", "PUT", "DELETE"):
            worker.faults[f"{method} /v1/machines/"] = self._note

    async def _note(self, request: web.Request) -> None:
        self.calls.append((request.method, request.path.removeprefix("/v1/machines/")))

    def taken(self) -> list[tuple[str, str]]:
        """What it was asked since the last time."""
        taken, self.calls = self.calls, []
        return taken


async def unavailable(_: web.Request) -> web.StreamResponse:
    return refuse(503, "INTERNAL_ERROR", "busy")


async def desire(stack: Stack, bunker_id: str, desired: Desired) -> None:
    """Write what is wanted, and die before anything is done about it."""
    op = system_operation("tests", stack.grid.clock)
    async with stack.grid.database.write() as db:
        assert await repository.desire(op, db, bunker_id, desired, None)


async def settle(stack: Stack, bunker_id: str) -> None:
    """Have this replica alone look at a bunker; returns when it has."""
    reconciler = stack.controller.reconciler
    reconciler.hint(bunker_id)
    await until(lambda: bunker_id not in reconciler.at_work)


class TestStaleSightings:
    """`other` has heard of the machine before `stack` has changed it."""

    async def test_a_report_from_before_the_order_fails_nothing(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        await worker.beat(other.client)  # no machine there yet
        bunker = (await stack.create())["id"]
        asked = Asked(worker)
        await settle(other, bunker)
        assert await stack.status(bunker) == "running"
        assert asked.taken() == [("GET", bunker)]
        worker.machines.clear()  # and when it is really gone, the answer counts
        await settle(other, bunker)
        assert await stack.status(bunker) == "running"
        await worker.beat(other.client)
        await stack.until_status(bunker, "failed")

    async def test_what_ran_before_a_pause_does_not_undo_it(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        await worker.beat(other.client)
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        asked = Asked(worker)
        await settle(other, bunker)
        assert await stack.status(bunker) == "paused"
        assert asked.taken() == [("GET", bunker)]
        assert worker.machines[bunker].state is MachineState.PAUSED

    async def test_what_ran_before_a_pause_is_no_resumption(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        await worker.beat(other.client)
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await desire(stack, bunker, Desired.RUNNING)
        await settle(other, bunker)
        assert await stack.status(bunker) == "running"
        assert worker.machines[bunker].state is MachineState.RUNNING

    async def test_an_earlier_pause_is_not_the_next_one(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await worker.beat(other.client)
        await stack.data_of("POST", f"/bunkers/{bunker}/resume")
        await desire(stack, bunker, Desired.PAUSED)
        await settle(other, bunker)
        assert await stack.status(bunker) == "paused"
        assert worker.machines[bunker].state is MachineState.PAUSED

    async def test_a_report_that_was_late_is_no_resumption(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        """It was written before the pause and arrives when the bunker is to go on."""
        bunker = (await stack.create())["id"]
        report = worker.heartbeat()
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        worker.faults[f"PUT /v1/machines/{bunker}/power"] = unavailable
        await desire(stack, bunker, Desired.RUNNING)
        await settle(stack, bunker)
        assert (await worker.send(stack.client, report)).status_code == 200
        await settle(stack, bunker)
        assert await stack.status(bunker) == "paused"
        worker.faults.clear()
        await settle(stack, bunker)
        assert await stack.status(bunker) == "running"
        assert worker.machines[bunker].state is MachineState.RUNNING

    async def test_a_decision_of_before_is_not_written_though_all_looks_as_before(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        op = system_operation("tests", stack.grid.clock)
        async with stack.grid.database.read() as db:
            read = await repository.get(op, db, bunker)
        assert read is not None
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await stack.data_of("POST", f"/bunkers/{bunker}/resume")
        async with stack.grid.database.write() as db:
            assert not await repository.expire(op, db, read, "it was idle")
            assert not await repository.move(op, db, read, State.FAILED, "lost", {})
        assert await stack.status(bunker) == "running"


class TestRoundTrips:
    """What a create costs: asking the worker again would be the safe thing, and slow."""

    async def test_one_replica_orders_and_asks_no_more(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        worker.boot = "building"
        asked = Asked(worker)
        bunker = (await stack.create(wait=False))["id"]
        await until(lambda: bunker in worker.machines)
        worker.become(bunker, MachineState.RUNNING)
        await worker.beat(stack.client)
        await stack.until_status(bunker, "running")
        assert asked.taken() == [("PUT", bunker)]

    async def test_nor_does_the_replica_that_hears_that_it_runs(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        worker.boot = "building"
        asked = Asked(worker)
        bunker = (await stack.create(wait=False))["id"]
        await until(lambda: bunker in worker.machines)
        worker.become(bunker, MachineState.RUNNING)
        await worker.beat(other.client)
        await stack.until_status(bunker, "running")
        assert asked.taken() == [("PUT", bunker)]

    async def test_pause_and_resume_ask_once_each(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        asked = Asked(worker)
        for act in ("pause", "resume"):
            await stack.data_of("POST", f"/bunkers/{bunker}/{act}")
            assert asked.taken() == [("PUT", f"{bunker}/power")]
