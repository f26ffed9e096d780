"""Snapshots from the order to the end, with a simulated worker: the bunker's way, and the snapshot's own."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.snapshots.stored import StoredSnapshots
from scaibunker.storage.errors import StoreUnavailable
from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.snapshots import DISK_PART, SnapshotPhase
from tests.integration.conftest import Template
from tests.integration.inside import whole
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import objects_of, states_of, take, until_in, until_snapshot
from tests.integration.stack import Knobs, Stack, error_of, fields_of
from tests.waiting import until


@pytest.fixture
def template(sqlite_template: Template) -> Template:
    """What MariaDB has to do with it is in `test_snapshot_ends`, `_fleet` and `_deaths`."""
    return sqlite_template


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=300)


@pytest.mark.parametrize("kind", ["disk", "full"])
async def test_a_snapshot_is_made_while_its_bunker_goes_on(
    stack: Stack, worker: SimulatedWorker, bunker: str, kind: str
) -> None:
    worker.snapshots.goes_to = SnapshotPhase.CAPTURING
    made = await take(stack, bunker, kind=kind, name="before the change", expires_in_s=3600)
    assert (made["status"], made["phase"], made["kind"]) == ("creating", None, kind)
    assert (made["bunker_id"], made["name"], made["image"]) == (
        bunker,
        "before the change",
        "debian-12",
    )
    capturing = await until_snapshot(stack, made["id"], phase="capturing")
    assert capturing["total_bytes"] == 100
    assert await stack.status(bunker) == "snapshotting"
    refused = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert error_of(refused) == (409, "BUNKER_NOT_RUNNING")

    await worker.snapshots.advance(made["id"], SnapshotPhase.PACKING)
    packing = await until_snapshot(stack, made["id"], phase="packing")
    assert 0 < packing["progress"] < 1
    await stack.until_status(bunker, "running")
    await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "goes on"})

    await worker.snapshots.advance(made["id"], SnapshotPhase.STORED)
    ready = await until_snapshot(stack, made["id"], status="ready")
    assert (ready["progress"], ready["phase"], ready["status_reason"]) == (1, None, None)
    stored = objects_of(stack, made["id"])
    folder = stack.data / "objects/scaibunker/snapshots" / made["id"]
    assert ready["size_bytes"] == sum((folder / name).stat().st_size for name in stored) > 0
    assert ready["ready_at"] >= ready["created_at"] < ready["expires_at"]
    await until(lambda: worker.snapshots.forgotten == [made["id"]])
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    assert await states_of(stack, bunker) == [
        "pending",
        "provisioning",
        "running",
        "snapshotting",
        "running",
        "terminated",
    ]
    assert await stack.data_of("GET", f"/snapshots/{made['id']}") == ready  # it outlives its bunker


async def test_a_paused_bunker_is_paused_again(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await stack.data_of("POST", f"/bunkers/{bunker}/pause")
    made = await take(stack, bunker, kind="full")
    await until_snapshot(stack, made["id"], status="ready")
    assert (await stack.until_status(bunker, "paused"))["status_reason"] is None
    assert worker.machines[bunker].state is MachineState.PAUSED


async def test_a_bunker_that_stands_for_no_copy_says_so(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.boot = "building"
    made = await stack.create(wait=False)
    await stack.until_status(made["id"], "provisioning")
    path = f"/bunkers/{made['id']}/snapshot"
    refused = await stack.call("POST", path, json={"kind": "disk"})
    assert error_of(refused) == (409, "BUNKER_INVALID_TRANSITION")
    [entry] = refused.json()["error"]["details"]
    assert (entry["from"], entry["to"]) == ("provisioning", "snapshotting")
    await stack.data_of("DELETE", f"/bunkers/{made['id']}")
    refused = await stack.call("POST", path, json={"kind": "disk"})
    assert error_of(refused) == (409, "BUNKER_INVALID_TRANSITION")
    assert await stack.data_of("GET", "/snapshots") == []


async def test_one_copy_at_a_time(stack: Stack, worker: SimulatedWorker, bunker: str) -> None:
    worker.snapshots.goes_to = SnapshotPhase.CAPTURING
    first = await take(stack, bunker)
    for verb, body in (("snapshot", {"kind": "disk"}), ("pause", None), ("resume", None)):
        refused = await stack.call("POST", f"/bunkers/{bunker}/{verb}", json=body)
        assert error_of(refused) == (409, "BUNKER_INVALID_TRANSITION"), verb
    await until_snapshot(stack, first["id"], phase="capturing")
    await worker.snapshots.advance(first["id"], SnapshotPhase.STORING)
    await stack.until_status(bunker, "running")
    worker.snapshots.goes_to = SnapshotPhase.STORED
    second = await take(stack, bunker)  # the first is on its way to storage still
    await until_snapshot(stack, second["id"], status="ready")
    assert (await stack.data_of("GET", f"/snapshots/{first['id']}"))["status"] == "creating"


async def test_the_same_request_again_makes_nothing_new(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    headers = {"Idempotency-Key": "once"}
    path, body = f"/bunkers/{bunker}/snapshot", {"kind": "disk"}
    first = await stack.data_of("POST", path, json=body, headers=headers)
    await until_snapshot(stack, first["id"], status="ready")
    again = await stack.call("POST", path, json=body, headers=headers)
    assert (again.status_code, again.json()["data"]["id"]) == (202, first["id"])
    assert [s["id"] for s in await stack.data_of("GET", "/snapshots")] == [first["id"]]
    assert set(worker.snapshots.orders) == {first["id"]}


async def test_what_makes_no_sense_is_refused(stack: Stack, bunker: str) -> None:
    for body, field in (
        ({}, "kind"),
        ({"kind": "memory"}, "kind"),
        ({"kind": "disk", "expires_in_s": 0}, "expires_in_s"),
        ({"kind": "disk", "expires_in_s": "60"}, "expires_in_s"),
        ({"kind": "disk", "name": "a/b"}, "name"),
        ({"kind": "disk", "comment": "x"}, "comment"),
    ):
        refused = await stack.call("POST", f"/bunkers/{bunker}/snapshot", json=body)
        assert error_of(refused) == (422, "VALIDATION_ERROR"), body
        assert fields_of(refused) == [field], body
    assert await stack.status(bunker) == "running"


async def test_snapshots_are_listed(stack: Stack, worker: SimulatedWorker, bunker: str) -> None:
    made = []
    for kind in ("disk", "full", "disk"):
        made.append((await take(stack, bunker, kind=kind))["id"])
        await until_snapshot(stack, made[-1], status="ready")
        await stack.until_status(bunker, "running")
    other = await stack.create()
    worker.snapshots.fault = "no space"
    failed = (await take(stack, other["id"]))["id"]
    await until_snapshot(stack, failed, status="failed")

    async def ids(**query: Any) -> list[str]:
        return [s["id"] for s in await stack.data_of("GET", "/snapshots", params=query)]

    assert await ids() == [failed, *reversed(made)]
    assert await ids(bunker_id=bunker) == [*reversed(made)]
    assert await ids(status="failed") == [failed]
    assert await ids(kind="full") == [made[1]]
    first = await stack.call("GET", "/snapshots", params={"limit": 3})
    assert [s["id"] for s in first.json()["data"]] == [failed, made[2], made[1]]
    assert first.json()["has_more"] is True
    assert await ids(limit=3, cursor=first.json()["next_cursor"]) == [made[0]]
    assert await stack.data_of("GET", "/snapshots", "stranger") == []
    assert await stack.data_of("GET", "/snapshots", "tenant_admin") != []
    refused = await stack.call("GET", f"/snapshots/{made[0]}", "stranger")
    assert error_of(refused) == (404, "SNAPSHOT_NOT_FOUND")


@pytest.mark.parametrize("at", ["capturing", "storing"])
async def test_a_worker_that_cannot_make_it_is_quoted(
    stack: Stack, worker: SimulatedWorker, bunker: str, at: str
) -> None:
    made = await until_in(stack, worker, bunker, SnapshotPhase(at))
    await worker.snapshots.put(made, "disk.zst", b"half of it")
    worker.snapshots.fail(made, "object storage is full")
    failed = await until_snapshot(stack, made, status="failed")
    assert failed["status_reason"] == "object storage is full"
    assert (failed["phase"], failed["size_bytes"], failed["ready_at"]) == (None, None, None)
    record = await stack.until_status(bunker, "running")
    assert record["status_reason"] == (
        "its snapshot failed: object storage is full" if at == "capturing" else None
    )
    await until(lambda: objects_of(stack, made) == set())


async def test_a_refusal_is_told(stack: Stack, worker: SimulatedWorker, bunker: str) -> None:
    async def no(_: Any) -> Any:
        return refuse(409, "BUNKER_NOT_RUNNING", "this VMM cannot save memory")

    worker.faults["POST /v1/machines"] = no
    made = await take(stack, bunker, kind="full")
    failed = await until_snapshot(stack, made["id"], status="failed")
    assert failed["status_reason"] == "its worker refused it: this VMM cannot save memory"
    await stack.until_status(bunker, "running")


async def test_a_restarted_worker_has_lost_it(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    made = await until_in(stack, worker, bunker, SnapshotPhase.CAPTURING)
    await worker.snapshots.put(made, "disk.zst", b"half of it")
    worker.snapshots.known.clear()
    failed = await until_snapshot(stack, made, status="failed")
    assert "restarted" in failed["status_reason"]
    await stack.until_status(bunker, "running")
    await until(lambda: objects_of(stack, made) == set())


async def test_what_is_not_stored_is_not_ready(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    """The worker says stored, and names a manifest that is not there, or another one's."""
    for sha256 in ("0" * 64, None):
        made = await until_in(stack, worker, bunker, SnapshotPhase.STORING)
        status = worker.snapshots.known[made]
        status.manifest_sha256, status.size_bytes = sha256, 10
        status.phase = SnapshotPhase.STORED
        failed = await until_snapshot(stack, made, status="failed")
        assert "manifest" in failed["status_reason"]
        await stack.until_status(bunker, "running")


@pytest.mark.parametrize("kept", [None, b"what was"], ids=["missing", "short"])
async def test_what_is_not_all_there_is_not_ready(
    stack: Stack,
    worker: SimulatedWorker,
    bunker: str,
    kept: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The manifest is right, and a part that it names is not."""
    put = worker.snapshots.put

    async def lossy(snapshot_id: str, name: str, content: bytes) -> None:
        if name != DISK_PART:
            await put(snapshot_id, name, content)
        elif kept is not None:
            await put(snapshot_id, name, kept)

    monkeypatch.setattr(worker.snapshots, "put", lossy)
    made = await take(stack, bunker)
    failed = await until_snapshot(stack, made["id"], status="failed")
    assert failed["status_reason"] == "its disk.zst is not in object storage as its manifest says"
    await stack.until_status(bunker, "running")
    await until(lambda: objects_of(stack, made["id"]) == set())


async def test_the_time_that_it_stood_still_is_not_idle(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    made = await until_in(stack, worker, bunker, SnapshotPhase.CAPTURING)
    await stack.write_uses()
    long_ago = stack.grid.clock.now() - timedelta(days=1)
    async with stack.grid.database.write() as db:
        this = update(bunkers).where(bunkers.c.id == bunker)
        await db.execute(whole(this.values(last_activity_at=long_ago)))
    await worker.snapshots.advance(made, SnapshotPhase.STORED)
    record = await stack.until_status(bunker, "running")
    assert datetime.fromisoformat(record["last_activity_at"]) > long_ago + timedelta(hours=1)


async def test_a_bunker_that_ends_takes_its_unfinished_copy_along(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    made = await until_in(stack, worker, bunker, SnapshotPhase.CAPTURING)
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    worker.snapshots.fail(made, "the machine was taken down")
    assert await stack.status(bunker) == "terminated"
    failed = await until_snapshot(stack, made, status="failed")
    assert failed["status_reason"] == "the machine was taken down"


async def test_a_machine_that_dies_while_it_is_copied(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await until_in(stack, worker, bunker, SnapshotPhase.CAPTURING)
    worker.become(bunker, MachineState.FAILED, "the kernel panicked")
    await worker.beat(stack.client)
    assert "panicked" in (await stack.until_status(bunker, "failed"))["status_reason"]


async def test_a_worker_is_told_to_forget_what_it_need_not_know(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.snapshots.goes_to = SnapshotPhase.STORED
    made = await take(stack, bunker)
    await until_snapshot(stack, made["id"], status="ready")
    await until(lambda: worker.snapshots.known == {})
    stray = worker.snapshots
    await stack.until_status(bunker, "running")
    stray.goes_to = SnapshotPhase.STORING
    second = await take(stack, bunker)
    await until_snapshot(stack, second["id"], phase="storing")
    stray.known["snp_nobodys"] = stray.known[second["id"]].model_copy(
        update={"snapshot_id": "snp_nobodys"}
    )
    await worker.beat(stack.client)
    await until(lambda: set(stray.known) == {second["id"]})


async def test_it_is_ready_once_storage_answers(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    """What its worker has stored is looked for until it can be."""
    reconciler, looks = stack.controller.snapshots, 0
    there = reconciler._stored

    class Away(StoredSnapshots):
        async def check(self, *_: Any) -> None:
            nonlocal looks
            looks += 1
            raise StoreUnavailable("away")

    reconciler._stored = Away(there._store)
    made = await take(stack, bunker)
    await until(lambda: looks > 1)
    assert (await stack.data_of("GET", f"/snapshots/{made['id']}"))["status"] == "creating"
    assert await stack.until_status(bunker, "running")
    reconciler._stored = there
    await until_snapshot(stack, made["id"], status="ready")


async def test_a_tenant_has_so_many(
    stack: Stack, worker: SimulatedWorker, bunker: str, knobs: Knobs
) -> None:
    knobs.snapshots.update(
        snapshot_max_per_tenant=2,
        snapshot_max_unfinished_per_tenant=1,
        snapshot_max_lifetime_s=1000,
    )
    await stack.restart()
    await worker.beat(stack.client)
    worker.snapshots.goes_to = SnapshotPhase.STORING
    first = await take(stack, bunker)
    await until_snapshot(stack, first["id"], phase="storing")
    assert first["expires_at"] is not None
    await stack.until_status(bunker, "running")

    async def refused(resource: str) -> None:
        answer = await stack.call("POST", f"/bunkers/{bunker}/snapshot", json={"kind": "disk"})
        assert error_of(answer) == (429, "BUNKER_QUOTA_EXCEEDED")
        [entry] = answer.json()["error"]["details"]
        assert entry["resource"] == resource
        assert entry["cap"] == entry["current"]

    await refused("unfinished_snapshots")
    worker.snapshots.fail(first["id"], "whatever")
    await until_snapshot(stack, first["id"], status="failed")
    too_long = {"kind": "disk", "expires_in_s": 1001}
    answer = await stack.call("POST", f"/bunkers/{bunker}/snapshot", json=too_long)
    assert fields_of(answer) == ["expires_in_s"]
    worker.snapshots.store = worker.snapshots.store and type(worker.snapshots.store)(
        str(stack.client.base_url), worker.token
    )
    worker.snapshots.goes_to = SnapshotPhase.STORED
    for _ in range(2):  # one that has failed does not count
        made = await take(stack, bunker)
        await until_snapshot(stack, made["id"], status="ready")
        await stack.until_status(bunker, "running")
    await refused("snapshots")
