"""A use that only one replica knows of keeps the other from ending the bunker."""

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web
from sqlalchemy import select, update

from scaibunker.controller.bunkers.tables import bunkers
from tests.integration.commands import pausing
from tests.integration.inside import whole
from tests.integration.replicas.watching import settle, unavailable
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

IDLE_S = 2
"""And some seconds of grace: a busy host writes late what it has to write each second."""


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(reconcile_interval_s=0.1)


async def test_a_command_at_one_is_no_idleness_to_the_other(
    stack: Stack, other: Stack, worker: SimulatedWorker
) -> None:
    go_on = asyncio.Event()
    worker.commands["long"] = pausing(go_on, b"")
    used = (await stack.create(idle_timeout_s=IDLE_S))["id"]
    command = asyncio.create_task(stack.run(used, "long"))
    await until(lambda: bool(worker.machines[used].execs))
    idle = (await stack.create(idle_timeout_s=IDLE_S))["id"]
    record = await other.until_status(idle, "terminated")
    assert record["status_reason"] == f"it was idle for {IDLE_S} s"
    for _ in range(10):  # the timers go round
        await settle(other, used)
        await asyncio.sleep(0.1)
    assert await other.status(used) == "running"
    go_on.set()
    assert (await command)["exit_code"] == 0


async def test_a_use_at_the_last_moment_is_written_before_the_command_starts(
    stack: Stack, other: Stack, worker: SimulatedWorker
) -> None:
    bunker = (await stack.create(idle_timeout_s=60))["id"]
    await stack.write_uses()  # of the start
    await _last_used(stack, bunker, 60 + 1)
    seen: list[timedelta] = []

    async def idle_for(_: web.Request | None = None) -> None:
        async with other.grid.database.read() as db:
            query = whole(select(bunkers.c.last_activity_at).where(bunkers.c.id == bunker))
            seen.append(other.grid.clock.now() - await db.value(query))

    worker.faults["POST /v1/machines/"] = idle_for
    await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert seen[0] < timedelta(seconds=10)
    await _last_used(stack, bunker, 60 + 1)
    await stack.data_of("POST", f"/bunkers/{bunker}/keepalive")
    await idle_for()
    assert seen[1] < timedelta(seconds=10)


async def test_a_command_that_comes_too_late_does_not_start(
    stack: Stack, other: Stack, worker: SimulatedWorker
) -> None:
    bunker = (await stack.create(idle_timeout_s=60))["id"]
    await stack.write_uses()
    worker.faults["DELETE /v1/machines/"] = unavailable
    await _last_used(stack, bunker, 60 + 10)

    async def ending() -> bool:
        record = await other.data_of("GET", f"/bunkers/{bunker}")
        return "being terminated" in (record["status_reason"] or "")

    await until(ending)
    for verb in ("exec", "keepalive"):
        body = {"command": "x"} if verb == "exec" else None
        late = await stack.call("POST", f"/bunkers/{bunker}/{verb}", json=body)
        assert error_of(late) == (409, "BUNKER_NOT_RUNNING")


async def _last_used(stack: Stack, bunker_id: str, seconds_ago: float) -> None:
    at = stack.grid.clock.now() - timedelta(seconds=seconds_ago)
    async with stack.grid.database.write() as db:
        change = whole(update(bunkers).where(bunkers.c.id == bunker_id))
        await db.execute(change.values(last_activity_at=at))
