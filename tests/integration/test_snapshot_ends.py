"""How snapshots end, and bunkers with them: deletion, expiry, what is left in storage, `?snapshot=true`."""

import asyncio
import os
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from scaibunker.controller.snapshots import cleanup
from scaibunker.controller.snapshots.stored import StoredSnapshots
from scaibunker.controller.snapshots.tables import snapshots
from scaibunker.storage.errors import StoreUnavailable
from scaibunker.storage.objects import ObjectStore
from scaibunker.wire.worker.snapshots import SnapshotBase, SnapshotPhase
from tests.integration.inside import whole
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import objects_of, take, until_in, until_snapshot
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

CLEAN_UP = "scaibunker.clean_up_snapshots"


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=300)


async def rows(stack: Stack) -> list[str]:
    """The snapshots that have rows, deleted ones included."""
    async with stack.grid.database.read() as db:
        return list(await db.values(whole(select(snapshots.c.id))))


async def change(stack: Stack, snapshot_id: str, **values: Any) -> None:
    """Change a row, as time would."""
    async with stack.grid.database.write() as db:
        this = update(snapshots).where(snapshots.c.id == snapshot_id)
        await db.execute(whole(this.values(**values)))


async def ready(stack: Stack, bunker: str, **body: Any) -> str:
    """The id of a new snapshot that is ready."""
    made = await take(stack, bunker, **body)
    await until_snapshot(stack, made["id"], status="ready")
    await stack.until_status(bunker, "running")
    return str(made["id"])


async def test_what_is_deleted_is_gone(stack: Stack, bunker: str) -> None:
    kept, gone = await ready(stack, bunker), await ready(stack, bunker)
    assert objects_of(stack, gone) == {"disk.zst", "manifest.json"}
    record = await stack.data_of("DELETE", f"/snapshots/{gone}")
    assert record["id"] == gone
    refused = await stack.call("DELETE", f"/snapshots/{gone}")
    assert error_of(refused) == (404, "SNAPSHOT_NOT_FOUND")
    await until(lambda: objects_of(stack, gone) == set())
    await until(lambda: _is(rows(stack), [kept]))
    assert objects_of(stack, kept) == {"disk.zst", "manifest.json"}
    refused = await stack.call("DELETE", f"/snapshots/{kept}", "stranger")
    assert error_of(refused) == (404, "SNAPSHOT_NOT_FOUND")


async def _is(found: Any, wanted: object) -> bool:
    return bool(await found == wanted)


async def test_what_storage_could_not_delete_is_deleted_later(
    stack: Stack, bunker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await ready(stack, bunker)
    tries = 0

    async def away(*_: Any) -> None:
        nonlocal tries
        tries += 1
        raise StoreUnavailable("away")

    with monkeypatch.context() as during:
        during.setattr(StoredSnapshots, "remove", away)
        await stack.data_of("DELETE", f"/snapshots/{gone}")
        await until(lambda: tries == 1)
        await stack.run_task(CLEAN_UP)
        assert tries == 2
        assert await rows(stack) == [gone]
    await stack.run_task(CLEAN_UP)
    assert await rows(stack) == []
    assert objects_of(stack, gone) == set()


@pytest.mark.parametrize("at", ["capturing", "storing"])
async def test_one_that_is_being_made_is_given_up(
    stack: Stack, worker: SimulatedWorker, bunker: str, at: str
) -> None:
    made = await until_in(stack, worker, bunker, SnapshotPhase(at))
    await worker.snapshots.put(made, "disk.zst", b"half of it")
    await stack.data_of("DELETE", f"/snapshots/{made}")
    await stack.until_status(bunker, "running")
    await until(lambda: worker.snapshots.known == {})
    await until(lambda: objects_of(stack, made) == set())
    await until(lambda: _is(rows(stack), []))


async def test_the_task_clears_what_is_left(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    now = stack.grid.clock.now()
    kept = await ready(stack, bunker)
    expired = await ready(stack, bunker, expires_in_s=60)
    worker.snapshots.goes_to = SnapshotPhase.STORING
    other = await stack.create()  # so that it does not build on the one that has expired
    left = (await take(stack, other["id"]))["id"]
    await until_snapshot(stack, left, phase="storing")
    await change(stack, expired, expires_at=now)
    for path in ("", f"/{expired}"):  # at once, whenever the task comes
        listed = await stack.call("GET", f"/snapshots{path}")
        assert error_of(listed)[0] == 404 if path else len(listed.json()["data"]) == 2
    await worker.snapshots.put("snp_orphan", "disk.zst", b"of nobody")
    await worker.snapshots.put("snp_recent", "disk.zst", b"of one whose row is not there yet")
    [orphan] = (stack.data / "objects/scaibunker/snapshots/snp_orphan").iterdir()
    long_ago = (now - timedelta(hours=2)).timestamp()
    root = stack.data / "objects/scaibunker/snapshots"
    foreign = [root / "README", root / "of-somebody-else" / "disk.zst"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not a snapshot's")
    for path in (orphan, *foreign):
        os.utime(path, (long_ago, long_ago))
    await stack.run_task(CLEAN_UP)
    assert objects_of(stack, "snp_orphan") == set()
    assert objects_of(stack, "snp_recent") != set()
    assert objects_of(stack, expired) == set()
    assert objects_of(stack, kept) != set()
    assert all(path.exists() for path in foreign)
    assert sorted(await rows(stack)) == sorted([kept, left])


async def test_what_is_stored_is_gone_through_over_several_runs(
    stack: Stack, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks at so much and no more, and the one after the last begins anew."""
    monkeypatch.setattr(cleanup, "MAX_PAGES", 2)
    monkeypatch.setattr(ObjectStore.page, "__defaults__", (None, 2))
    root = stack.data / "objects/scaibunker/snapshots"
    long_ago = (stack.grid.clock.now() - timedelta(hours=2)).timestamp()

    async def leave(*numbers: int) -> None:
        for number in numbers:
            await worker.snapshots.put(f"snp_orphan{number}", "disk.zst", b"of nobody")
            [part] = (root / f"snp_orphan{number}").iterdir()
            os.utime(part, (long_ago, long_ago))

    def left() -> set[int]:
        return {int(path.parent.name[-1]) for path in root.glob("snp_orphan*/*")}

    await leave(*range(1, 8))
    await stack.run_task(CLEAN_UP)
    assert left() == {5, 6, 7}
    await leave(1)  # where it has been: looked at when it begins anew
    await stack.run_task(CLEAN_UP)
    assert left() == {1}
    await stack.run_task(CLEAN_UP)
    assert left() == set()


async def test_a_failed_one_can_be_read_about_for_a_week(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    made = await until_in(stack, worker, bunker, SnapshotPhase.STORING)
    worker.snapshots.fail(made, "whatever")
    await until_snapshot(stack, made, status="failed")
    await stack.run_task(CLEAN_UP)
    assert await rows(stack) == [made]
    await change(stack, made, moved_at=stack.grid.clock.now() - timedelta(days=8))
    await stack.run_task(CLEAN_UP)
    assert await rows(stack) == []


async def test_a_snapshot_that_makes_no_progress_fails(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.snapshots.goes_to = SnapshotPhase.CAPTURING
    made = await take(stack, bunker)
    await until_snapshot(stack, made["id"], phase="capturing")
    await change(stack, made["id"], moved_at=stack.grid.clock.now() - timedelta(hours=1))
    failed = await until_snapshot(stack, made["id"], status="failed")
    assert failed["status_reason"] == "it made no progress for 1800 s"
    await stack.until_status(bunker, "running")
    await until(lambda: worker.snapshots.known == {})


async def test_an_expired_one_that_is_being_made_is_given_up(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    made = await until_in(stack, worker, bunker, SnapshotPhase.CAPTURING, expires_in_s=60)
    await change(stack, made, expires_at=stack.grid.clock.now())
    await stack.run_task(CLEAN_UP)
    await stack.until_status(bunker, "running")
    await until(lambda: _is(rows(stack), []))


@pytest.mark.parametrize("kind", [None, "full"])
async def test_a_bunker_ends_once_there_is_a_snapshot(
    stack: Stack, worker: SimulatedWorker, bunker: str, kind: str | None
) -> None:
    query = {"snapshot": "true", **({"kind": kind} if kind else {})}
    ended = await stack.data_of("DELETE", f"/bunkers/{bunker}", params=query)
    assert ended["status"] == "terminated"
    [made] = await stack.data_of("GET", "/snapshots")
    assert (made["status"], made["kind"]) == ("ready", kind or "disk")
    assert made["id"] in ended["status_reason"]
    assert worker.machines == {}
    again = await stack.data_of("DELETE", f"/bunkers/{bunker}", params=query)
    assert (again["id"], again["status"]) == (bunker, "terminated")
    assert len(await stack.data_of("GET", "/snapshots")) == 1
    back = await stack.create(image=None, snapshot_id=made["id"])
    assert back["status"] == "running"


async def test_it_stands_still_until_then_and_asking_again_waits(
    stack: Stack, worker: SimulatedWorker, bunker: str, knobs: Knobs
) -> None:
    knobs.terminate_wait_s = 0.2
    await stack.restart()
    await worker.beat(stack.client)
    worker.snapshots.goes_to = SnapshotPhase.STORING
    for _ in range(2):
        answer = await stack.data_of("DELETE", f"/bunkers/{bunker}", params={"snapshot": "true"})
        assert answer["status"] == "snapshotting"
    [made] = await stack.data_of("GET", "/snapshots")
    await until_snapshot(stack, made["id"], phase="storing")
    assert (
        await stack.status(bunker) == "snapshotting"
    )  # nothing comes into it that is not in there
    assert worker.snapshots.store is not None
    worker.snapshots.store = type(worker.snapshots.store)(str(stack.client.base_url), worker.token)  # type: ignore[call-arg]
    await worker.snapshots.advance(made["id"], SnapshotPhase.STORED)
    await stack.until_status(bunker, "terminated")


async def test_all_who_ask_for_its_end_at_once_get_it(stack: Stack, bunker: str) -> None:
    path = f"/bunkers/{bunker}?snapshot=true"
    answers = await asyncio.gather(*(stack.data_of("DELETE", path) for _ in range(4)))
    assert {answer["status"] for answer in answers} == {"terminated"}
    [kept] = await stack.data_of("GET", "/snapshots")
    assert kept["status"] == "ready"


async def test_a_bunker_without_its_snapshot_goes_on(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.snapshots.fault = "no space on the worker's disk"
    refused = await stack.call("DELETE", f"/bunkers/{bunker}", params={"snapshot": "true"})
    assert error_of(refused) == (409, "SNAPSHOT_NOT_READY")
    assert "no space on the worker's disk" in refused.json()["error"]["message"]
    record = await stack.data_of("GET", f"/bunkers/{bunker}")
    assert record["status"] == "running"
    assert record["status_reason"] == "its snapshot failed: no space on the worker's disk"
    await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    await stack.data_of("DELETE", f"/bunkers/{bunker}")


async def test_a_base_stays_for_what_builds_on_it(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    first = await ready(stack, bunker, kind="full")
    await worker.snapshots.put(first, "memory.zst", b"what was in memory")
    second = await ready(stack, bunker)
    assert worker.snapshots.bases[first] is None
    base = worker.snapshots.bases[second]
    assert base is not None
    assert base.snapshot_id == first
    await stack.data_of("DELETE", f"/snapshots/{first}")
    third = await ready(stack, bunker)
    assert worker.snapshots.bases[third] is not None
    await until(lambda: objects_of(stack, first) == {"disk.zst", "manifest.json"})
    await stack.run_task(CLEAN_UP)
    assert objects_of(stack, first) == {"disk.zst", "manifest.json"}
    made = await stack.create(image=None, snapshot_id=second)
    await stack.data_of("DELETE", f"/snapshots/{third}")
    await until(lambda: objects_of(stack, third) == set())
    await stack.data_of("DELETE", f"/snapshots/{second}")
    await until(lambda: objects_of(stack, second) == set())
    await stack.run_task(CLEAN_UP)
    assert objects_of(stack, first) == set()
    assert await rows(stack) == []
    assert await stack.status(made["id"]) == "running"


async def test_a_base_that_is_not_used_is_not_kept(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    source = await ready(stack, bunker)
    made = await stack.create(image=None, snapshot_id=source)
    worker.snapshots.uses_bases = False
    whole = await ready(stack, made["id"])  # of what its bunker was made of
    base = worker.snapshots.bases[whole]
    assert base is not None
    assert base.snapshot_id == source
    await stack.data_of("DELETE", f"/snapshots/{source}")
    await until(lambda: objects_of(stack, source) == set())
    assert objects_of(stack, whole) != set()


async def test_a_worker_that_knows_no_bases_makes_a_whole_one(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def strict(request: Any) -> Any:
        body = await request.json()
        return refuse(422, "VALIDATION_ERROR", "base: extra field") if "base" in body else None

    worker.faults["POST /v1/machines"] = strict
    await ready(stack, bunker)
    second = await ready(stack, bunker)
    assert worker.snapshots.bases[second] is None


async def test_a_base_that_was_not_offered_is_none(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await ready(stack, bunker)
    made = await until_in(stack, worker, bunker, SnapshotPhase.STORING)
    worker.snapshots.bases[made] = SnapshotBase(snapshot_id="snp_another", manifest_sha256="0" * 64)
    await worker.snapshots.advance(made, SnapshotPhase.STORED)
    failed = await until_snapshot(stack, made, status="failed")
    assert failed["status_reason"] == "its worker built it on another one"


async def test_the_last_place_is_taken_once(
    stack: Stack, worker: SimulatedWorker, knobs: Knobs
) -> None:
    knobs.snapshots.update(snapshot_max_unfinished_per_tenant=2)
    await stack.restart()
    await worker.beat(stack.client)
    made = [(await stack.create())["id"] for _ in range(5)]
    worker.snapshots.goes_to = SnapshotPhase.STORING
    answers = await asyncio.gather(
        *(stack.call("POST", f"/bunkers/{each}/snapshot", json={"kind": "disk"}) for each in made)
    )
    assert sorted(answer.status_code for answer in answers) == [202, 202, 429, 429, 429]
    for each in made:  # those that were refused were not held up
        await stack.until_status(each, "running")
