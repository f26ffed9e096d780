"""A replica has heard of a machine before the other one has changed it: `other` before `stack`."""

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.wire.worker.machines import MachineState
from scaigrid.operation import system_operation
from tests.integration.replicas.watching import Asked, desire, settle, unavailable
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack


async def test_a_report_from_before_the_order_fails_nothing(
    stack: Stack, other: Stack, worker: SimulatedWorker
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
    stack: Stack, other: Stack, worker: SimulatedWorker
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
    stack: Stack, other: Stack, worker: SimulatedWorker
) -> None:
    bunker = (await stack.create())["id"]
    await worker.beat(other.client)
    await stack.data_of("POST", f"/bunkers/{bunker}/pause")
    await desire(stack, bunker, Desired.RUNNING)
    await settle(other, bunker)
    assert await stack.status(bunker) == "running"
    assert worker.machines[bunker].state is MachineState.RUNNING


async def test_an_earlier_pause_is_not_the_next_one(
    stack: Stack, other: Stack, worker: SimulatedWorker
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
    stack: Stack, worker: SimulatedWorker
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
    stack: Stack, worker: SimulatedWorker
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
