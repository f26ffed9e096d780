"""The module's own tasks: what is overdue is ended though the reconciler's timer has not come."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.relay.tables import execs
from scaibunker.controller.tasks import RECONCILE
from scaibunker.controller.workers.tables import workers
from tests.integration.commands import hanging
from tests.integration.inside import whole
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack

SWEEP = "scaibunker.sweep_timeouts"


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(reconcile_interval_s=60)


async def test_a_bunker_past_its_lifetime_is_ended(stack: Stack) -> None:
    gone = await stack.create(max_lifetime_s=600)
    kept = await stack.create(lifecycle_mode="persistent", max_lifetime_s=600)
    async with stack.grid.database.write() as db:
        await db.execute(whole(update(bunkers)).values(expires_at=bunkers.c.created_at))
    await stack.run_task(SWEEP)
    record = await stack.until_status(gone["id"], "terminated")
    assert record["status_reason"] == "its lifetime of 600 s is over"
    assert await stack.status(kept["id"]) == "running"


async def test_an_idle_bunker_is_ended_by_the_one_who_knows_of_its_use(stack: Stack) -> None:
    idle = await stack.create(idle_timeout_s=60)
    used = await stack.create(idle_timeout_s=60)
    await stack.write_uses()  # of the start
    long_ago = stack.grid.clock.now() - timedelta(hours=1)
    async with stack.grid.database.write() as db:
        await db.execute(whole(update(bunkers)).values(last_activity_at=long_ago))
    await stack.data_of("POST", f"/bunkers/{used['id']}/keepalive")
    await stack.run_task(SWEEP)
    await stack.until_status(idle["id"], "terminated")
    assert await stack.status(used["id"]) == "running"


async def test_a_command_whose_end_must_have_come_is_lost(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["forever"] = hanging()
    path = f"/bunkers/{bunker}/exec"
    await stack.data_of("POST", path, json={"command": "forever", "detach": True})
    await stack.run_task(SWEEP)
    [entry] = await stack.data_of("GET", f"{path}s")
    assert entry["state"] == "running"
    past = stack.grid.clock.now() - timedelta(seconds=1)
    async with stack.grid.database.write() as db:
        await db.execute(whole(update(execs)).values(deadline_at=past))
    await stack.run_task(SWEEP)
    [entry] = await stack.data_of("GET", f"{path}s")
    assert (entry["state"], entry["error"]) == ("lost", "its end was never reported")


async def test_a_worker_that_falls_silent_is_told_of_once(stack: Stack, bunker: str) -> None:
    hinted: list[str] = []
    stack.grid.bus.subscribe(RECONCILE, hinted.append)
    await stack.run_task("scaibunker.monitor_heartbeats")
    assert hinted == []
    offline_after = timedelta(seconds=3 * stack.knobs.heartbeat_interval_s)
    for ago, told in ((timedelta(seconds=1), 1), (timedelta(minutes=5), 0)):
        async with stack.grid.database.write() as db:
            at = stack.grid.clock.now() - offline_after - ago
            await db.execute(update(workers).values(last_heartbeat_at=at))
            [name] = await db.values(select(workers.c.id))
        with capture_logs() as logs:
            await stack.run_task("scaibunker.monitor_heartbeats")
        silent = [line for line in logs if line["event"] == "a worker is silent"]
        assert [line["worker_id"] for line in silent] == [name] * told
        assert hinted.pop() == bunker
