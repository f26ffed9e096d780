"""Several workers: who gets a bunker, who gets it next, and what is reserved meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from sqlalchemy import select

from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.fleet import Fleet
from scaibunker.controller.workers.service import Heartbeats
from scaibunker.controller.workers.tables import worker_gpus
from scaibunker.controller.workers.tables import workers as table
from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.wire.worker.machines import MachineState
from scaigrid.operation import system_operation
from tests.integration.places import in_step, shown
from tests.integration.refusals import never
from tests.integration.simulated_worker import SimulatedWorker, beating
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

FIRST, SECOND = "wrk_z_first", "wrk_a_second"
"""Of workers that are alike the one with the larger id is chosen."""


@pytest.fixture
async def fleet(bare: Stack) -> AsyncIterator[dict[str, SimulatedWorker]]:
    """Two workers that report again and again."""
    made = {name: SimulatedWorker(name) for name in (FIRST, SECOND)}
    for each in made.values():
        await each.start()
        await each.beat(bare.client)
    async with beating(made[FIRST], bare.client), beating(made[SECOND], bare.client):
        yield made
    for each in made.values():
        await each.stop()


async def statuses(stack: Stack, bunker_id: str) -> list[str]:
    """Every state that it has been in."""
    async with stack.client.stream(
        "GET",
        f"/v1/modules/scaibunker/bunkers/{bunker_id}/events",
        headers={"Authorization": f"Bearer {stack.keys['user']}"},
    ) as response:
        text = (await response.aread()).decode()
    return [
        line.split('"status":"')[1].split('"')[0]
        for line in text.splitlines()
        if '"status":"' in line
    ]


async def test_a_draining_worker_takes_nothing_new_and_keeps_what_it_has(
    bare: Stack, fleet: dict[str, SimulatedWorker]
) -> None:
    kept = await bare.create()
    assert kept["worker_id"] == FIRST
    drained = await bare.data_of("POST", f"/workers/{FIRST}/drain", "super_admin")
    assert (drained["status"], drained["draining"], drained["takes_bunkers"]) == (
        "draining",
        True,
        False,
    )
    assert "draining" in drained["reasons"][0]
    others = [await bare.create() for _ in range(3)]
    assert {other["worker_id"] for other in others} == {SECOND}
    assert (await bare.data_of("GET", f"/bunkers/{kept['id']}"))["status"] == "running"
    await bare.data_of("POST", f"/workers/{SECOND}/drain", "super_admin")
    refused = await bare.call("POST", "/bunkers", json={"image": "debian-12"})
    assert error_of(refused) == (503, "WORKER_UNAVAILABLE")
    resumed = await bare.data_of("POST", f"/workers/{FIRST}/resume", "super_admin")
    assert (resumed["status"], resumed["takes_bunkers"]) == ("online", True)
    assert (await bare.create())["worker_id"] == FIRST
    await in_step(bare)


async def test_draining_a_worker_that_is_not_there(bare: Stack) -> None:
    for verb in ("drain", "resume"):
        missing = await bare.call("POST", f"/workers/wrk_none/{verb}", "super_admin")
        assert error_of(missing) == (404, "WORKER_NOT_FOUND")


async def test_a_worker_explains_itself(bare: Stack, fleet: dict[str, SimulatedWorker]) -> None:
    fleet[FIRST].capacity = Capacity(
        cpu_millicores=4000, memory_mb=1024, disk_mb=8192, gpus={"a100": 2}
    )
    await fleet[FIRST].beat(bare.client)
    made = await bare.create(gpu_count=1, memory_mb=1024)
    assert (made["worker_id"], made["gpu_type"]) == (FIRST, "a100")
    record = await shown(bare, FIRST)
    amounts = {"cpu_millicores": 1000, "memory_mb": 1024, "disk_mb": 1024, "gpus": {"a100": 1}}
    assert record["reserved"] == amounts
    assert record["used"] == amounts
    assert record["total"]["gpus"] == {"a100": 2}
    assert record["bunkers_by_status"] == {"running": 1}
    assert record["reasons"] == ["full: 1024 of 1024 memory_mb are reserved"]
    await bare.data_of("DELETE", f"/bunkers/{made['id']}")
    record = await shown(bare, FIRST)
    assert record["reserved"] == record["used"] == dict.fromkeys(amounts, 0) | {"gpus": {}}
    await in_step(bare)


async def test_a_worker_whose_row_is_held_keeps_no_other_from_reporting(bare: Stack) -> None:
    """As by a controller that is stopped in the middle of a transaction."""
    if bare.database_settings.is_sqlite:
        pytest.skip("SQLite has one writer, who holds everything")
    op = system_operation("tests", bare.grid.clock)
    made = [SimulatedWorker(f"wrk_{n}") for n in range(6)]
    for each in made:
        await each.beat(bare.client)
    held, *others = made
    others[0].images = []  # has news: that is stored by itself too
    mine = select(table.c.id).where(table.c.id == held.worker_id)
    async with bare.grid.database.write() as db:
        assert await db.value(mine.with_for_update()) == held.worker_id
        waiting = asyncio.create_task(held.beat(bare.client))
        async with asyncio.timeout(bare.database_settings.busy_timeout_s / 2):
            await asyncio.gather(*(each.beat(bare.client) for each in others))
        assert not waiting.done()
    await waiting
    async with bare.grid.database.read() as db:
        told = await workers.get(op, db, others[0].worker_id)
    assert told is not None
    assert told.cached_images == ()


async def test_types_of_devices_that_are_gone_are_forgotten_once_nobody_holds_one(
    bare: Stack, worker: SimulatedWorker
) -> None:
    def having(*kinds: str) -> Capacity:
        return Capacity(
            cpu_millicores=16_000, memory_mb=16_384, disk_mb=65_536, gpus=dict.fromkeys(kinds, 1)
        )

    async def known() -> dict[str, int]:
        async with bare.grid.database.read() as db:
            rows = await db.rows(select(worker_gpus.c.gpu_type, worker_gpus.c.total))
        return {row["gpu_type"]: row["total"] for row in rows}

    worker.capacity = having("t4")
    await worker.beat(bare.client)
    made = await bare.create(gpu_count=1)
    for n in range(3):
        worker.capacity = having(*(f"{n}-{kind}" for kind in range(64)))
        await worker.beat(bare.client)
        assert await known() == dict(worker.capacity.gpus) | {"t4": 0}
    await in_step(bare)
    await bare.data_of("DELETE", f"/bunkers/{made['id']}")
    worker.capacity = having("a100")
    await worker.beat(bare.client)
    assert await known() == {"a100": 1}


async def test_the_last_gpu_is_given_away_once(
    bare: Stack, fleet: dict[str, SimulatedWorker]
) -> None:
    gpus = Capacity(cpu_millicores=16_000, memory_mb=16_384, disk_mb=65_536, gpus={"t4": 2})
    fleet[SECOND].capacity = gpus
    await fleet[SECOND].beat(bare.client)
    wanted = {"image": "debian-12", "gpu_count": 1, "gpu_type": "t4"}
    answers = await asyncio.gather(*(bare.call("POST", "/bunkers", json=wanted) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [503] * 6
    assert {error_of(a) for a in answers if a.status_code == 503} == {(503, "WORKER_UNAVAILABLE")}
    await in_step(bare)
    other = await bare.call("POST", "/bunkers", json={**wanted, "gpu_type": "h100"})
    assert error_of(other) == (503, "WORKER_UNAVAILABLE")


async def test_what_one_worker_cannot_build_another_does(
    bare: Stack, fleet: dict[str, SimulatedWorker]
) -> None:
    fleet[FIRST].boot = "failed"
    made = await bare.create()
    assert made["worker_id"] == SECOND
    await bare.data_of("DELETE", f"/bunkers/{made['id']}")
    assert await statuses(bare, made["id"]) == [
        "pending",
        "provisioning",
        "pending",
        "provisioning",
        "running",
        "terminated",
    ]
    await until(lambda: not fleet[FIRST].machines)
    await in_step(bare)


async def test_what_nobody_can_build_fails_with_the_reason(
    bare: Stack, fleet: dict[str, SimulatedWorker]
) -> None:
    for each in fleet.values():
        each.boot = "failed"
    made = await bare.create(wait=False)
    failed = await bare.until_status(made["id"], "failed")
    assert "the kernel panicked" in failed["status_reason"]
    assert {made["id"]} == set(fleet[FIRST].orders) == set(fleet[SECOND].orders)
    await until(lambda: not any(each.machines for each in fleet.values()))
    await in_step(bare)


async def test_of_two_workers_with_one_id_the_first_is_believed(
    bare: Stack, fleet: dict[str, SimulatedWorker]
) -> None:
    kept = await bare.create()
    copy = SimulatedWorker(FIRST)
    await copy.start()
    try:
        refused = await copy.send(bare.client, copy.heartbeat())
        assert error_of(refused) == (409, "NAME_CONFLICT")
        answer = await bare.call("POST", f"/bunkers/{kept['id']}/exec", json={"command": "x"})
        assert answer.json()["data"]["stdout"] == "x"
        assert set(fleet[FIRST].machines) == {kept["id"]}
        # It has moved, or was started again on another port: nobody answers at the old one.
        await fleet[FIRST].stop()
        await copy.beat(bare.client)
    finally:
        await copy.stop()


class TestNoOrders:
    """A worker reports, and does not answer."""

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(request_timeout_s=1, order_timeout_s=2)

    async def test_a_worker_that_reports_and_takes_no_orders_loses_them(
        self, bare: Stack, fleet: dict[str, SimulatedWorker]
    ) -> None:
        fleet[FIRST].faults["PUT /v1/machines/"] = never
        made = await bare.create()
        assert made["worker_id"] == SECOND
        await in_step(bare)

    async def test_what_the_only_worker_does_not_answer_fails(
        self, bare: Stack, fleet: dict[str, SimulatedWorker]
    ) -> None:
        await bare.data_of("POST", f"/workers/{SECOND}/drain", "super_admin")
        for verb in ("PUT", "GET"):
            fleet[FIRST].faults[f"{verb} /v1/machines/"] = never
        made = await bare.create(wait=False)
        failed = await bare.until_status(made["id"], "failed")
        assert failed["status_reason"] == "its worker took no order for 2 s"
        await in_step(bare)


class TestOnAReplicaThatHearsNothing:
    """Heartbeats go to another replica, and what this one was told is forgotten between passes."""

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(heartbeat_interval_s=0.2, reconcile_interval_s=0.7, order_timeout_s=1)

    @pytest.fixture(autouse=True)
    def deaf(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Fleet, "report", lambda *_: None)
        monkeypatch.setattr(Heartbeats, "_wake", lambda *_: None)

    async def test_what_is_being_built_stays_where_it_is(
        self, bare: Stack, fleet: dict[str, SimulatedWorker]
    ) -> None:
        looks: list[str] = []

        async def note(request: web.Request) -> None:
            looks.append(request.match_info["machine"])

        fleet[FIRST].boot = "building"
        fleet[FIRST].faults["GET /v1/machines/"] = note
        made = await bare.create(wait=False)
        await until(lambda: len(looks) >= 3)  # the time for orders is over
        fleet[FIRST].machines[made["id"]].state = MachineState.RUNNING
        running = await bare.until_status(made["id"], "running")
        assert running["worker_id"] == FIRST
        assert not fleet[SECOND].orders
        await in_step(bare)

    async def test_the_only_worker_is_asked_until_it_listens(
        self, bare: Stack, fleet: dict[str, SimulatedWorker]
    ) -> None:
        await bare.data_of("POST", f"/workers/{SECOND}/drain", "super_admin")
        tries: list[str] = []

        async def refuse(request: web.Request) -> web.StreamResponse:
            tries.append(request.match_info["machine"])
            raise web.HTTPServiceUnavailable

        fleet[FIRST].faults["PUT /v1/machines/"] = refuse
        made = await bare.create(wait=False)
        await until(lambda: len(tries) >= 4)
        assert await bare.status(made["id"]) == "provisioning"
        fleet[FIRST].faults.clear()
        assert (await bare.until_status(made["id"], "running"))["worker_id"] == FIRST
        await in_step(bare)
