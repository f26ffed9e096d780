"""It is frozen and being copied: whoever uses it, ends it or loses it meanwhile."""

import asyncio

import pytest

from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.snapshots import SnapshotPhase
from tests.integration.passivation.sleepers import Sleepers
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import objects_of
from tests.integration.stack import error_of
from tests.waiting import until


async def copying(sleepers: Sleepers, bunker: str) -> str:
    """Have it copied; returns the snapshot's id."""
    sleepers.worker.snapshots.goes_to = SnapshotPhase.CAPTURING
    await sleepers.idle(bunker)
    await sleepers.stack.until_status(bunker, "snapshotting")
    await until(lambda: bool(sleepers.worker.snapshots.known))
    [snapshot] = sleepers.worker.snapshots.known
    return snapshot


@pytest.mark.parametrize("phase", ["capturing", "storing"])
async def test_whoever_uses_it_keeps_it_awake(
    sleepers: Sleepers, worker: SimulatedWorker, phase: str
) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    snapshot = await copying(sleepers, bunker)
    assert worker.machines[bunker].state is MachineState.PAUSED
    await worker.snapshots.advance(snapshot, SnapshotPhase(phase))
    worker.built.clear()
    await sleepers.says_hello(bunker)
    record = await sleepers.record(bunker)
    assert (record["status"], record["status_reason"]) == ("running", None)
    assert worker.built == []
    assert await sleepers.alone() == []
    assert snapshot in worker.snapshots.forgotten
    await sleepers.agree()
    worker.snapshots.goes_to = SnapshotPhase.STORED
    await sleepers.put_to_sleep(bunker)
    await stack.data_of("DELETE", f"/bunkers/{bunker}")


async def test_one_that_was_paused_is_resumed_by_word_alone(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    await stack.data_of("POST", f"/bunkers/{bunker}/pause")
    await copying(sleepers, bunker)
    assert error_of(await sleepers.exec(bunker)) == (409, "BUNKER_NOT_RUNNING")
    assert (await stack.data_of("POST", f"/bunkers/{bunker}/resume"))["status"] == "running"
    await sleepers.says_hello(bunker)


async def test_its_end_takes_all_along(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    bunker = await sleepers.one()
    snapshot = await copying(sleepers, bunker)
    await sleepers.stack.data_of("DELETE", f"/bunkers/{bunker}")
    assert await sleepers.alone() == []
    assert objects_of(sleepers.stack, snapshot) == set()
    assert await sleepers.books.counters.counted() == {}


async def test_a_machine_that_is_lost_when_its_copy_is_stored_is_not(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """It sleeps, and its worker may have lost it for good."""
    bunker = await sleepers.one()
    snapshot = await copying(sleepers, bunker)
    await worker.snapshots.advance(snapshot, SnapshotPhase.STORED)
    worker.become(bunker, MachineState.FAILED, "the power was cut")
    await sleepers.asleep(bunker)
    await sleepers.says_hello(bunker)


async def test_a_copy_that_fails_leaves_it_as_it_was(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    stack = sleepers.stack
    worker.snapshots.fault = "storage is away"
    runs, paused = await sleepers.one(), await sleepers.one()
    await stack.data_of("POST", f"/bunkers/{paused}/pause")
    for bunker, status in ((runs, "running"), (paused, "paused")):
        await sleepers.idle(bunker)

        async def told(bunker: str = bunker) -> bool:
            record = await sleepers.record(bunker)
            return "not passivated: storage is away" in (record["status_reason"] or "")

        await until(told)
        record = await stack.until_status(bunker, status)
        assert "storage is away" in record["status_reason"]
        assert record["passivated"] is False
        assert (await sleepers.row(bunker))["passivate_after"] > stack.grid.clock.now()
    assert await sleepers.alone() == []
    worker.snapshots.fault = None
    for bunker in (runs, paused):
        assert len(set(worker.snapshots.orders)) == 2  # not tried again yet
        await sleepers.change(bunker, passivate_after=sleepers.long_ago())
    await asyncio.gather(sleepers.asleep(runs), sleepers.asleep(paused))
    await sleepers.says_hello(paused)  # it sleeps: whoever uses it wakes it
