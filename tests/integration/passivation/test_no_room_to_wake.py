"""Without quota or a place it sleeps on, and who wanted it is told."""

import asyncio

from scaibunker.controller.quotas.domain import Resource
from scaibunker.wire.worker.heartbeat import Capacity
from tests.integration.passivation.sleepers import BOTH, SIZE, Sleepers
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import error_of
from tests.waiting import until


@BOTH
async def test_without_quota_it_sleeps_on(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack, books = sleepers.stack, sleepers.books
    profile = await books.profile((await books.me())["tenant_id"], max_memory_mb=64)
    await books.assign(profile, "user", (await books.me())["user_id"], "individual")
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    other = (await stack.create(**SIZE))["id"]
    for answer in await asyncio.gather(sleepers.exec(bunker), sleepers.exec(bunker)):
        assert error_of(answer) == (429, "BUNKER_QUOTA_EXCEEDED")
        [entry] = answer.json()["error"]["details"]
        assert (entry["profile"], entry["resource"]) == (profile, "memory_mb")
        assert (entry["current"], entry["requested"], entry["cap"]) == (64, 64, 64)
    record = await sleepers.record(bunker)
    assert (record["passivated"], record["status"]) == (True, "paused")
    assert "not woken" in record["status_reason"]
    await sleepers.agree()
    await stack.data_of("DELETE", f"/bunkers/{other}")
    await sleepers.says_hello(bunker)
    await sleepers.agree()


async def test_without_a_place_it_sleeps_on(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack, books = sleepers.stack, sleepers.books
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=63, disk_mb=1_000_000)
    await worker.beat(stack.client)
    answer = await sleepers.exec(bunker)
    assert error_of(answer) == (503, "WORKER_UNAVAILABLE")
    [entry] = answer.json()["error"]["details"]
    assert entry["field"] == "memory_mb"
    worker.images = []
    await worker.beat(stack.client)
    answer = await stack.call("POST", f"/bunkers/{bunker}/resume")
    assert error_of(answer) == (503, "NO_SUITABLE_WORKER")
    bucket = f"user:{(await books.me())['user_id']}"
    assert await books.counted(bucket, Resource.MEMORY_MB) == 0
    assert (await sleepers.record(bunker))["passivated"] is True
    await sleepers.agree()
    worker.images = ["a" * 64]
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=64, disk_mb=1_000_000)
    await worker.beat(stack.client)
    await sleepers.says_hello(bunker)


async def test_one_that_is_wanted_as_it_falls_asleep_waits_for_a_place_as_long(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """A resume that found it paused has written its wish just when it was passivated."""
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=63, disk_mb=1_000_000)
    await worker.beat(sleepers.stack.client)
    await sleepers.change(bunker, desired="running")
    sleepers.stack.controller.reconciler.hint(bunker)

    async def told() -> bool:
        return "not woken" in ((await sleepers.record(bunker))["status_reason"] or "")

    await until(told)
    assert (await sleepers.row(bunker))["desired"] == "passivated"
    await sleepers.agree()
