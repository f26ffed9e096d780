"""What a create costs: asking the worker again would be the safe thing, and slow."""

import asyncio

import pytest

from scaibunker.controller.bunkers import notify
from scaibunker.wire.worker.machines import MachineState
from tests.integration.replicas.watching import Asked, follow
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack
from tests.waiting import until


async def test_one_replica_orders_and_asks_no_more(stack: Stack, worker: SimulatedWorker) -> None:
    worker.boot = "building"
    asked = Asked(worker)
    bunker = (await stack.create(wait=False))["id"]
    await until(lambda: bunker in worker.machines)
    worker.become(bunker, MachineState.RUNNING)
    await worker.beat(stack.client)
    await stack.until_status(bunker, "running")
    assert asked.taken() == [("PUT", bunker)]


async def test_nor_does_the_replica_that_hears_that_it_runs(
    stack: Stack, other: Stack, worker: SimulatedWorker
) -> None:
    worker.boot = "building"
    asked = Asked(worker)
    bunker = (await stack.create(wait=False))["id"]
    await until(lambda: bunker in worker.machines)
    worker.become(bunker, MachineState.RUNNING)
    await worker.beat(other.client)
    await stack.until_status(bunker, "running")
    assert asked.taken() == [("PUT", bunker)]


async def test_pause_and_resume_ask_once_each(stack: Stack, worker: SimulatedWorker) -> None:
    bunker = (await stack.create())["id"]
    asked = Asked(worker)
    for act in ("pause", "resume"):
        await stack.data_of("POST", f"/bunkers/{bunker}/{act}")
        assert asked.taken() == [("PUT", f"{bunker}/power")]


async def test_who_waits_at_one_is_woken_by_the_other(
    stack: Stack, other: Stack, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks by itself: neither those who wait nor the timers."""
    monkeypatch.setattr(notify, "POLL_S", 60)
    worker.boot = "building"
    creating = asyncio.create_task(stack.create())
    await until(lambda: len(worker.machines) == 1)
    [bunker] = worker.machines
    seen: list[str] = []
    following = asyncio.create_task(follow(stack, bunker, seen))
    await until(lambda: seen == ["pending", "provisioning"])
    worker.become(bunker, MachineState.RUNNING)
    await worker.beat(other.client)
    assert (await asyncio.wait_for(creating, 60))["status"] == "running"
    await until(lambda: seen[-1] == "running")
    await other.data_of("DELETE", f"/bunkers/{bunker}")
    await asyncio.wait_for(following, 60)
    assert seen[-1] == "terminated"
