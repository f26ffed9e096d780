"""Each time that a bunker sleeps only what changed is stored, whatever becomes of what that rests upon."""

import pytest

from scaibunker.wire.worker.snapshots import DISK_PART, MANIFEST_NAME, MEMORY_PART
from tests.integration.passivation.sleepers import Sleepers
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import chains_hold, objects_of, take, until_snapshot
from tests.waiting import until

CLEAN_UP = "scaibunker.clean_up_snapshots"


def base_of(worker: SimulatedWorker, snapshot: str) -> str | None:
    """What it was offered."""
    offered = worker.snapshots.bases[snapshot]
    return offered.snapshot_id if offered else None


async def sleeps_in(sleepers: Sleepers, bunker: str) -> str:
    await sleepers.put_to_sleep(bunker)
    return str((await sleepers.row(bunker))["passive_snapshot_id"])


async def test_the_last_one_whatever_becomes_of_it(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    stack = sleepers.stack
    root = stack.data / "objects/scaibunker/snapshots"
    bunker = await sleepers.one()
    first = await sleeps_in(sleepers, bunker)
    assert base_of(worker, first) is None
    await worker.snapshots.put(first, MEMORY_PART, b"what was in memory")
    await sleepers.says_hello(bunker)
    await until(lambda: objects_of(stack, first) == {DISK_PART, MANIFEST_NAME})
    made = await take(stack, bunker)
    await until_snapshot(stack, made["id"], status="ready")
    assert base_of(worker, made["id"]) == first
    second = await sleeps_in(sleepers, bunker)
    assert base_of(worker, second) == made["id"]
    await stack.data_of("DELETE", f"/snapshots/{made['id']}")
    await stack.run_task(CLEAN_UP)
    chains_hold(root)
    assert objects_of(stack, made["id"]) == {DISK_PART, MANIFEST_NAME}
    await sleepers.says_hello(bunker)
    third = await sleeps_in(sleepers, bunker)
    assert base_of(worker, third) == second
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    assert await sleepers.alone() == []
    assert not any(path.is_file() for path in root.rglob("*"))


async def test_what_it_was_made_of(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack = sleepers.stack
    parent = await sleepers.one()
    made = await take(stack, parent)
    await until_snapshot(stack, made["id"], status="ready")
    child = await sleepers.one(image=None, snapshot_id=made["id"])
    await stack.until_status(parent, "running")
    copy = await sleeps_in(sleepers, child)
    assert base_of(worker, copy) == made["id"]
    for path in (f"/snapshots/{made['id']}", f"/bunkers/{parent}"):
        await stack.data_of("DELETE", path)
    await stack.run_task(CLEAN_UP)
    chains_hold(stack.data / "objects/scaibunker/snapshots")
    await sleepers.says_hello(child)
    assert await sleepers.alone() == []


async def test_one_that_is_whole_lets_the_last_go(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    worker.snapshots.uses_bases = False
    bunker = await sleepers.one()
    first = await sleeps_in(sleepers, bunker)
    await sleepers.says_hello(bunker)
    second = await sleeps_in(sleepers, bunker)
    assert await sleepers.alone() == [second]
    assert objects_of(sleepers.stack, first) == set()
    await sleepers.says_hello(bunker)


@pytest.mark.parametrize("spoil", [DISK_PART, MANIFEST_NAME])
async def test_without_it_there_is_no_sleep_but_a_whole_one(
    sleepers: Sleepers, worker: SimulatedWorker, spoil: str
) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    first = await sleeps_in(sleepers, bunker)
    await sleepers.says_hello(bunker)
    with (stack.data / "objects/scaibunker/snapshots" / first / spoil).open("ab") as part:
        part.write(b"x")
    await sleepers.idle(bunker)

    async def told() -> bool:
        record = await sleepers.record(bunker)
        return f"base {first}" in (record["status_reason"] or "")

    await until(told)
    record = await stack.until_status(bunker, "running")
    assert record["passivated"] is False
    await sleepers.says_hello(bunker)
    await sleepers.change(bunker, passivate_after=sleepers.long_ago())
    second = await sleeps_in(sleepers, bunker)
    assert base_of(worker, second) is None
    await sleepers.says_hello(bunker)
