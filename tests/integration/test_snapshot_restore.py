"""Bunkers that are made of snapshots: what may be asked for, what the worker is told, what is in the way."""

from typing import Any

import pytest
from sqlalchemy import update

from scaibunker.controller.images.tables import images
from scaibunker.controller.snapshots.tables import snapshots
from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.snapshots import SnapshotPhase
from tests.integration.conftest import Template
from tests.integration.inside import whole
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.snapshots import objects_of, take, until_snapshot
from tests.integration.stack import Knobs, Stack, error_of, fields_of
from tests.waiting import until


@pytest.fixture
def template(sqlite_template: Template) -> Template:
    """What MariaDB has to do with it is in `test_snapshot_ends`, `_fleet` and `_deaths`."""
    return sqlite_template


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=300)


async def stored(stack: Stack, kind: str, **shape: Any) -> dict[str, Any]:
    """A snapshot of a bunker that has ended."""
    bunker = await stack.create(**shape)
    made = await take(stack, bunker["id"], kind=kind)
    ready = await until_snapshot(stack, made["id"], status="ready")
    await stack.data_of("DELETE", f"/bunkers/{bunker['id']}")
    return ready


async def restore(stack: Stack, snapshot: dict[str, Any], **body: Any) -> dict[str, Any]:
    """A running bunker that is made of it."""
    return await stack.create(image=None, snapshot_id=snapshot["id"], **body)


async def test_a_disk_fits_any_larger_bunker(stack: Stack, worker: SimulatedWorker) -> None:
    snapshot = await stored(stack, "disk", cpu_millicores=500, memory_mb=300, disk_mb=700)
    same = await restore(stack, snapshot)
    assert (same["snapshot_id"], same["image"]) == (snapshot["id"], "debian-12")
    assert (same["cpu_millicores"], same["memory_mb"], same["disk_mb"]) == (500, 300, 700)
    spec = worker.machines[same["id"]].spec
    assert spec.snapshot is not None
    assert (spec.snapshot.snapshot_id, spec.snapshot.kind) == (snapshot["id"], "disk")
    assert not spec.snapshot.keep_execs
    larger = await restore(stack, snapshot, cpu_millicores=2000, memory_mb=1000, disk_mb=800)
    assert (larger["cpu_millicores"], larger["memory_mb"], larger["disk_mb"]) == (2000, 1000, 800)
    refused = await stack.call(
        "POST", "/bunkers", json={"snapshot_id": snapshot["id"], "disk_mb": 699}
    )
    assert error_of(refused) == (422, "VALIDATION_ERROR")
    assert fields_of(refused) == ["disk_mb"]


async def test_memory_goes_on_as_it_was(stack: Stack, worker: SimulatedWorker) -> None:
    snapshot = await stored(stack, "full", cpu_millicores=500, memory_mb=300, disk_mb=700)
    again = await restore(stack, snapshot, cpu_millicores=500)
    spec = worker.machines[again["id"]].spec
    assert spec.snapshot is not None
    assert (spec.snapshot.kind, spec.memory_mb, spec.disk_mb) == ("full", 300, 700)
    body = {
        "snapshot_id": snapshot["id"],
        "cpu_millicores": 501,
        "memory_mb": 301,
        "disk_mb": 701,
        "gpu_count": 1,
        "network_profile": "registry",
    }
    refused = await stack.call("POST", "/bunkers", json=body)
    assert error_of(refused) == (422, "VALIDATION_ERROR")
    assert fields_of(refused) == [
        "cpu_millicores",
        "memory_mb",
        "disk_mb",
        "gpu_count",
        "network_profile",
    ]
    cold = await restore(stack, snapshot, snapshot_kind="disk", memory_mb=400)
    spec = worker.machines[cold["id"]].spec
    assert spec.snapshot is not None
    assert (spec.snapshot.kind, spec.memory_mb) == ("disk", 400)


async def test_what_cannot_be_made(stack: Stack, worker: SimulatedWorker) -> None:
    snapshot = await stored(stack, "disk")
    wrong = [
        ({"snapshot_id": snapshot["id"], "image": "debian-12"}, "image"),
        ({"image": "debian-12", "snapshot_kind": "disk"}, "snapshot_kind"),
        ({"snapshot_id": snapshot["id"], "snapshot_kind": "full"}, "snapshot_kind"),
        ({"snapshot_id": snapshot["id"], "snapshot_kind": "memory"}, "snapshot_kind"),
    ]
    for body, field in wrong:
        refused = await stack.call("POST", "/bunkers", json=body)
        assert error_of(refused) == (422, "VALIDATION_ERROR"), body
        assert fields_of(refused) == [field], body
    for who, named in (("user", "snp_nosuch"), ("stranger", snapshot["id"])):
        refused = await stack.call("POST", "/bunkers", who, json={"snapshot_id": named})
        assert error_of(refused) == (404, "SNAPSHOT_NOT_FOUND"), who

    bunker = await stack.create()
    worker.snapshots.goes_to = SnapshotPhase.CAPTURING
    made = await take(stack, bunker["id"])
    await until_snapshot(stack, made["id"], phase="capturing")
    body = {"snapshot_id": made["id"]}
    refused = await stack.call("POST", "/bunkers", json=body)
    assert error_of(refused) == (409, "SNAPSHOT_NOT_READY")
    worker.snapshots.fail(made["id"], "the disk is full")
    await until_snapshot(stack, made["id"], status="failed")
    refused = await stack.call("POST", "/bunkers", json=body)
    assert error_of(refused) == (409, "SNAPSHOT_NOT_READY")
    assert "the disk is full" in refused.json()["error"]["message"]


async def test_an_image_that_is_withdrawn_is_still_the_snapshots(
    stack: Stack, worker: SimulatedWorker
) -> None:
    snapshot = await stored(stack, "disk")
    async with stack.grid.database.write() as db:
        await db.execute(whole(update(images).values(status="inactive")))
    refused = await stack.call("POST", "/bunkers", json={"image": "debian-12"})
    assert error_of(refused) == (409, "IMAGE_NOT_READY")
    made = await restore(stack, snapshot)
    assert (made["status"], made["image_id"]) == ("running", snapshot["image_id"])


async def test_a_worker_that_cannot_restore_it_passes_it_on(
    stack: Stack, worker: SimulatedWorker
) -> None:
    snapshot = await stored(stack, "full")
    worker.boot = "failed"
    other = SimulatedWorker("wrk_other")
    await other.start()
    try:
        await other.beat(stack.client)
        made = await stack.create(image=None, snapshot_id=snapshot["id"])
        assert made["status"] == "running"
        [ran] = other.machines.values()
        assert ran.spec.snapshot is not None
        other.boot = "failed"
        lost = await stack.create(image=None, snapshot_id=snapshot["id"])
        assert lost["status"] == "failed"
        assert "panicked" in lost["status_reason"]
    finally:
        await other.stop()


async def test_a_deleted_snapshot_stays_for_what_is_being_made_of_it(
    stack: Stack, worker: SimulatedWorker
) -> None:
    snapshot = await stored(stack, "disk")
    worker.boot = "building"
    made = await restore(stack, snapshot, wait=False)
    await until(lambda: made["id"] in worker.machines)
    gone = await stack.data_of("DELETE", f"/snapshots/{snapshot['id']}")
    assert gone == snapshot
    for method in ("GET", "DELETE"):
        refused = await stack.call(method, f"/snapshots/{snapshot['id']}")
        assert error_of(refused) == (404, "SNAPSHOT_NOT_FOUND")
    assert await stack.data_of("GET", "/snapshots") == []
    refused = await stack.call("POST", "/bunkers", json={"snapshot_id": snapshot["id"]})
    assert error_of(refused) == (404, "SNAPSHOT_NOT_FOUND")
    await stack.run_task("scaibunker.clean_up_snapshots")
    assert objects_of(stack, snapshot["id"]) != set()
    worker.become(made["id"], MachineState.RUNNING)
    await worker.beat(stack.client)
    await stack.until_status(made["id"], "running")
    await stack.run_task("scaibunker.clean_up_snapshots")
    assert objects_of(stack, snapshot["id"]) == set()
    record = await stack.data_of("GET", f"/bunkers/{made['id']}")
    assert record["snapshot_id"] == snapshot["id"]


async def test_memory_goes_on_in_a_network_of_the_same_profile(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.network_profiles += ["registry", "allowlisted"]
    await worker.beat(stack.client)
    snapshot = await stored(stack, "full", network_profile="registry")
    again = await restore(stack, snapshot)
    assert again["network_profile"] == "registry"
    order = worker.machines[again["id"]].spec.network
    assert order is not None
    assert order.profile == "registry"
    # A disk boots with the default, as any other bunker does, or with another one.
    cold = {"snapshot_kind": "disk", "network_allowlist": ["example.com"]}
    assert (await restore(stack, snapshot, snapshot_kind="disk"))["network_profile"] == "isolated"
    other = await restore(stack, snapshot, **cold, network_profile="allowlisted")
    assert other["network_profile"] == "allowlisted"
    for body in (
        {"network_profile": "isolated"},
        {"network_profile": "allowlisted", "network_allowlist": ["example.com"]},
    ):
        refused = await stack.call("POST", "/bunkers", json={"snapshot_id": snapshot["id"], **body})
        assert error_of(refused) == (422, "VALIDATION_ERROR")
        assert fields_of(refused) == ["network_profile"]


async def test_what_is_inherited_needs_its_permission_and_what_belongs_to_it(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.network_profiles += ["allowlisted"]
    await worker.beat(stack.client)
    allowed = {"network_profile": "allowlisted", "network_allowlist": ["example.com"]}
    snapshot = await stored(stack, "full", **allowed)
    body = {"snapshot_id": snapshot["id"]}
    refused = await stack.call("POST", "/bunkers", json=body)
    assert error_of(refused) == (422, "NETWORK_ALLOWLIST_INVALID")
    again = await restore(stack, snapshot, network_allowlist=["example.org"])
    assert again["network_profile"] == "allowlisted"
    assert again["network_allowlist"] == ["example.org"]

    # A key that its owner does not hold any more.
    async with stack.grid.database.write() as db:
        await db.execute(whole(update(snapshots).values(network_profile="unrestricted")))
    refused = await stack.call("POST", "/bunkers", json=body)
    assert error_of(refused) == (403, "NETWORK_PROFILE_DENIED")
