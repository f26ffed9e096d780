"""What cannot be woken sleeps on, and nothing of it is lost."""

import asyncio

from aiohttp import web

from scaibunker.wire.worker.machines import MachineState
from tests.integration.commands import hanging
from tests.integration.passivation.sleepers import Sleepers, another_worker, until_online
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import error_of
from tests.waiting import until


async def test_storage_is_away(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.restores = lambda _: ("cannot read disk.zst", "STORAGE_UNAVAILABLE")
    answer = await sleepers.exec(bunker)
    assert error_of(answer) == (503, "STORAGE_UNAVAILABLE")
    assert "cannot read disk.zst" in (await sleepers.record(bunker))["status_reason"]
    await sleepers.until_free(worker)
    await sleepers.agree()
    worker.restores = lambda _: None
    await sleepers.says_hello(bunker)


async def test_what_is_stored_is_not_what_it_was(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.restores = lambda _: ("the snapshot's memory.zst is not what was stored", "")
    async with another_worker(sleepers.stack) as other:
        other.restores = worker.restores
        await until_online(sleepers.stack, other)
        worker.built.clear()
        answer = await sleepers.exec(bunker)
        assert error_of(answer) == (409, "BUNKER_NOT_RUNNING")
        assert "not what was stored" in answer.json()["error"]["message"]
        assert (worker.built, other.built) == ([bunker], [bunker])
        assert (await sleepers.record(bunker))["passivated"] is True
        await sleepers.agree()


async def test_memory_that_fits_another_worker(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.restores = lambda _: ("saved by another VMM", "SNAPSHOT_INCOMPATIBLE")
    async with another_worker(sleepers.stack) as other:
        await until_online(sleepers.stack, other)
        await sleepers.says_hello(bunker)
        assert (await sleepers.record(bunker))["worker_id"] == other.worker_id
        source = other.machines[bunker].spec.snapshot
        assert source is not None
        assert source.kind == "full"
        await sleepers.agree()


async def test_memory_that_fits_a_worker_that_cannot_just_now(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """It is not given up for that."""
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.restores = lambda source: (
        ("saved by another VMM", "SNAPSHOT_INCOMPATIBLE") if source.kind == "full" else None
    )
    async with another_worker(sleepers.stack) as other:
        other.restores = lambda _: ("cannot read memory.zst", "STORAGE_UNAVAILABLE")
        await until_online(sleepers.stack, other)
        answer = await sleepers.exec(bunker)
        assert answer.status_code in (409, 503), answer.text
        assert (await sleepers.record(bunker))["passivated"] is True
        await sleepers.agree()
        other.restores = lambda _: None
        await sleepers.says_hello(bunker)
        source = other.machines[bunker].spec.snapshot
        assert source is not None
        assert source.kind == "full"


async def test_memory_that_fits_no_worker(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    """It boots from its disk, and says so."""
    stack = sleepers.stack
    worker.commands["forever"] = hanging()
    bunker = await sleepers.one()
    started = await sleepers.exec(bunker, command="forever", detach=True)
    await sleepers.put_to_sleep(bunker)
    worker.restores = lambda source: (
        ("saved by another VMM", "SNAPSHOT_INCOMPATIBLE") if source.kind == "full" else None
    )
    await sleepers.says_hello(bunker)
    record = await sleepers.record(bunker)
    assert (record["status"], record["passivated"]) == ("running", False)
    assert "its processes are gone" in record["status_reason"]
    source = worker.machines[bunker].spec.snapshot
    assert source is not None
    assert (source.kind, source.keep_execs) == ("disk", False)
    exec_id = started.json()["data"]["exec_id"]
    entry = await stack.data_of("GET", f"/bunkers/{bunker}/execs/{exec_id}")
    assert entry["state"] == "lost"
    assert "its processes are gone" in entry["error"]


async def test_a_worker_that_takes_no_order(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)

    async def no(_: web.Request) -> web.StreamResponse:
        return refuse(422, "VALIDATION_ERROR", "it has no zstd")

    worker.faults[f"PUT /v1/machines/{bunker}"] = no
    answer = await sleepers.exec(bunker)
    assert error_of(answer) == (409, "BUNKER_NOT_RUNNING")
    assert "no zstd" in answer.json()["error"]["message"]
    worker.faults.clear()
    await sleepers.says_hello(bunker)
    await sleepers.agree()


async def test_one_that_takes_long_is_waited_for_a_while(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    await sleepers.until_free(worker)
    worker.boot = "building"
    call = asyncio.create_task(sleepers.exec(bunker))
    await until(lambda: bunker in worker.machines)
    assert not call.done()
    worker.become(bunker, MachineState.RUNNING)
    answer = await call
    assert answer.status_code == 200, answer.text
