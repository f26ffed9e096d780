"""Persistent bunkers that nobody uses fall asleep, and whoever uses one wakes it. In the end what is held is
what there is: of quotas, of places, of objects and of machines."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import select, update

from scaibunker.controller.quotas.domain import Resource
from scaibunker.controller.relay.tables import execs
from scaibunker.controller.snapshots.tables import snapshots
from scaibunker.wire.worker.snapshots import MANIFEST_NAME, MAX_CHAIN
from scaigrid.settings import RedisSettings
from tests.integration.commands import hanging
from tests.integration.inside import whole
from tests.integration.passivation.sleepers import BOTH, Sleepers
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import chains_hold, objects_of
from tests.integration.stack import Stack
from tests.waiting import until


@BOTH
async def test_it_falls_asleep_and_whoever_uses_it_wakes_it(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    stack, books = sleepers.stack, sleepers.books
    bunker = await sleepers.one(idle_timeout_s=60, name="sleeper")
    bucket = f"user:{(await books.me())['user_id']}"
    before = await sleepers.record(bunker)
    assert await books.counted(bucket, Resource.MEMORY_MB) == 64

    record = await sleepers.put_to_sleep(bunker)
    assert (record["status"], record["worker_id"]) == ("paused", None)
    assert record["status_reason"] == "passivated: it was idle for 60 s"
    await sleepers.until_free(worker)
    held = (await books.counters.current([bucket]) or {})[bucket]
    assert {r: n for r, n in held.items() if n} == {
        Resource.PERSISTENT_BUNKERS: 1,
        Resource.DISK_MB: 64,
    }
    shown = await stack.data_of("GET", f"/workers/{worker.worker_id}", "super_admin")
    assert (shown["bunkers"], shown["reserved"]["memory_mb"]) == (0, 0)
    [snapshot] = await sleepers.alone()
    assert objects_of(stack, snapshot) == {"disk.zst", "manifest.json"}
    assert await stack.data_of("GET", "/snapshots") == []  # it is nobody's to see
    await sleepers.agree()

    await sleepers.says_hello(bunker)
    record = await sleepers.record(bunker)
    assert (record["status"], record["passivated"]) == ("running", False)
    assert record["worker_id"] == worker.worker_id
    assert (record["started_at"], record["snapshot_id"]) == (before["started_at"], None)
    assert record["last_activity_at"] > before["last_activity_at"]
    source = worker.machines[bunker].spec.snapshot
    assert source is not None
    assert (source.snapshot_id, source.kind, source.keep_execs) == (snapshot, "full", True)
    assert await sleepers.alone() == []
    assert objects_of(stack, snapshot) == {"disk.zst", "manifest.json"}  # the next may rest upon it
    assert await books.counted(bucket, Resource.MEMORY_MB) == 64
    await sleepers.agree()

    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    await until(lambda: objects_of(stack, snapshot) == set())
    answer = await stack.call("GET", f"/bunkers/{bunker}/events")
    names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == ["status"] * 6 + ["passivated"] + ["status"] * 2
    assert await books.counters.counted() == {}


@BOTH
async def test_many_at_once_wake_it_once(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    await sleepers.until_free(worker)
    worker.built.clear()
    path = f"/bunkers/{bunker}"
    stack = sleepers.stack
    answers = await asyncio.gather(
        *(sleepers.exec(bunker) for _ in range(4)),
        stack.call("POST", f"{path}/exec", json={"command": "x", "detach": True}),
        stack.call("POST", f"{path}/exec", json={"command": "x", "stream": True}),
        stack.call("PUT", f"{path}/files", params={"path": "/home/a"}, content=b"a"),
        stack.call("POST", f"{path}/files/mkdir", json={"path": "/home/b"}),
        stack.call("POST", f"{path}/resume"),
    )
    assert [a.status_code for a in answers] == [200] * 4 + [202] + [200] * 4
    assert worker.built == [bunker]
    await sleepers.agree()


async def test_twenty_times_asleep_and_awake(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    for turn in range(20):
        await sleepers.put_to_sleep(bunker)
        if turn % 2:
            await stack.data_of("POST", f"/bunkers/{bunker}/resume")
        else:
            await sleepers.says_hello(bunker)
    assert await sleepers.alone() == []
    assert set(worker.machines) == {bunker}
    assert worker.snapshots.known == {}
    root = stack.data / "objects/scaibunker/snapshots"
    assert len(list(root.glob(f"*/{MANIFEST_NAME}"))) <= MAX_CHAIN + 1
    chains_hold(root)
    await sleepers.agree()
    row = await sleepers.row(bunker)
    for column in ("passive_snapshot_id", "waking_since", "wake_refusal", "passivated_from"):
        assert row[column] is None, column
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    await until(lambda: not any(path.is_file() for path in root.rglob("*")))
    assert await sleepers.alone() == []


@BOTH
async def test_commands_go_on_when_it_wakes(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    """Their time stands still meanwhile, and what its old worker says of them at its end does not count."""
    stack = sleepers.stack
    worker.commands["forever"] = hanging()
    bunker = await sleepers.one()
    started = await sleepers.exec(bunker, command="forever", detach=True, timeout_s=60)
    exec_id = started.json()["data"]["exec_id"]
    await sleepers.put_to_sleep(bunker)
    async with stack.grid.database.write() as db:
        ago = stack.grid.clock.now() - timedelta(hours=1)
        await db.execute(whole(update(execs).values(deadline_at=ago + timedelta(seconds=60))))
        await db.execute(whole(update(snapshots).values(created_at=ago)))
    path = f"/bunkers/{bunker}/execs/{exec_id}"
    await stack.run_task("scaibunker.sweep_timeouts")
    assert (await stack.data_of("GET", path))["state"] == "running"
    await sleepers.says_hello(bunker)
    await stack.run_task("scaibunker.sweep_timeouts")
    assert (await stack.data_of("GET", path))["state"] == "running"
    async with stack.grid.database.read() as db:
        query = select(execs.c.deadline_at).where(execs.c.id == exec_id)
        assert await db.value(whole(query)) > stack.grid.clock.now()


async def test_one_that_was_awake_for_long_enough(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """Each time that it wakes its time begins anew."""
    bunker = await sleepers.one(max_lifetime_s=3600)
    assert (await sleepers.record(bunker))["expires_at"] is not None
    await sleepers.change(bunker, expires_at=sleepers.long_ago())
    record = await sleepers.asleep(bunker)
    assert record["status_reason"] == "passivated: it was awake for 3600 s"
    await sleepers.says_hello(bunker)
    record = await sleepers.record(bunker)
    assert datetime.fromisoformat(record["expires_at"]) > sleepers.stack.grid.clock.now()


async def test_redis_is_wiped_meanwhile(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    books = sleepers.books
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    await books.wipe()
    await sleepers.says_hello(bunker)
    await sleepers.agree()
    await sleepers.idle(bunker)
    await books.wipe()
    await sleepers.asleep(bunker)
    await sleepers.stack.run_task("scaibunker.mend_holds")
    await sleepers.agree()


async def test_two_replicas_wake_it_once(
    sleepers: Sleepers, worker: SimulatedWorker, redis_settings: RedisSettings
) -> None:
    stack = sleepers.stack
    other = Stack(
        stack.data, stack.database_settings, redis_settings, stack.keys, replace(stack.knobs)
    )
    await other.start()
    sleepers.others.append(other)
    try:
        bunker = await sleepers.one()
        for _ in range(3):
            await sleepers.put_to_sleep(bunker)
            await sleepers.until_free(worker)
            worker.built.clear()
            there = other.call("POST", f"/bunkers/{bunker}/exec", json={"command": "hello"})
            answers = await asyncio.gather(sleepers.exec(bunker), there)
            assert [a.status_code for a in answers] == [200, 200]
            assert set(worker.machines) == {bunker}
            await sleepers.agree()
    finally:
        await other.stop()
