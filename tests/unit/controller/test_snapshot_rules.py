"""The next step for a snapshot, what may be made of one, and how many there may be."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scaibunker.controller.bunkers.domain import ImageRef
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.settings import LimitSettings, SnapshotSettings
from scaibunker.controller.snapshots import restore
from scaibunker.controller.snapshots.decide import Act, Situation, decide
from scaibunker.controller.snapshots.domain import Purpose, Snapshot
from scaibunker.controller.snapshots.errors import SnapshotNotReady
from scaibunker.controller.snapshots.limits import Counts, check_counts, expires_at
from scaibunker.controller.snapshots.sightings import Sightings
from scaibunker.controller.workers.fleet import Absence
from scaibunker.wire.api.bunkers import BunkerCreate, NetworkProfile
from scaibunker.wire.api.snapshots import SnapshotKind, SnapshotPhase, SnapshotStatus
from scaibunker.wire.worker.snapshots import SnapshotPhase as Seen
from scaibunker.wire.worker.snapshots import SnapshotStatus as Status
from scaigrid.clock import SystemClock
from scaigrid.errors import ValidationFailed
from tests.unit.controller.builders import NOW, SHA

_SNAPSHOT = Snapshot(
    id="snp_1",
    tenant_id="ten_1",
    owner_user_id="usr_1",
    bunker_id="bnk_1",
    name=None,
    kind=SnapshotKind.DISK,
    purpose=Purpose.USER,
    status=SnapshotStatus.CREATING,
    status_reason=None,
    phase=None,
    done_bytes=0,
    total_bytes=0,
    size_bytes=None,
    manifest_sha256=None,
    worker_id="wrk_1",
    base_snapshot_id=None,
    image=ImageRef("img_1", "debian-12", SHA, 1),
    cpu_millicores=1000,
    memory_mb=512,
    disk_mb=1024,
    network_profile=NetworkProfile.ISOLATED,
    created_at=NOW,
    moved_at=NOW,
)
READY = {"status": SnapshotStatus.READY, "manifest_sha256": SHA}


def a_snapshot(**changes: Any) -> Snapshot:
    return replace(_SNAPSHOT, **changes)


def seen(phase: Seen, **more: Any) -> Status:
    return Status(snapshot_id="snp_1", bunker_id="bnk_1", kind="disk", phase=phase, **more)


def situation(what: Status | Absence, **changes: Any) -> Situation:
    values: dict[str, Any] = {
        "now": NOW,
        "worker_lost": False,
        "bunker_waits": True,
        "order_timeout_s": 20,
        "stall_timeout_s": 1800,
    }
    return Situation(seen=what, **{**values, **changes})


def after(seconds: float) -> dict[str, Any]:
    return {"now": NOW + timedelta(seconds=seconds)}


FRESH = a_snapshot()
COPYING = a_snapshot(phase=SnapshotPhase.CAPTURING)
STORING = a_snapshot(phase=SnapshotPhase.STORING, done_bytes=5, total_bytes=10)


@pytest.mark.parametrize(
    ("snapshot", "s", "expected"),
    [
        (FRESH, situation(Absence.ABSENT), Act.ORDER),
        (FRESH, situation(Absence.UNKNOWN), Act.NOTHING),
        (FRESH, situation(Absence.ABSENT, **after(20)), Act.CANCEL),
        (FRESH, situation(Absence.ABSENT, bunker_waits=False), Act.CANCEL),
        (FRESH, situation(Absence.ABSENT, worker_lost=True), Act.FAIL),
        (FRESH, situation(seen(Seen.CAPTURING)), Act.PROGRESS),
        (COPYING, situation(seen(Seen.CAPTURING)), Act.NOTHING),
        (COPYING, situation(seen(Seen.CAPTURING, total_bytes=9)), Act.PROGRESS),
        (COPYING, situation(seen(Seen.STORING)), Act.PROGRESS),
        (COPYING, situation(seen(Seen.CAPTURING), bunker_waits=False), Act.NOTHING),
        (COPYING, situation(Absence.ABSENT), Act.FAIL),
        (COPYING, situation(Absence.UNKNOWN), Act.NOTHING),
        (COPYING, situation(Absence.UNKNOWN, worker_lost=True), Act.FAIL),
        (COPYING, situation(Absence.UNKNOWN, **after(1800)), Act.CANCEL),
        (STORING, situation(seen(Seen.PACKING, done_bytes=9)), Act.NOTHING),
        (STORING, situation(seen(Seen.STORING, done_bytes=4, total_bytes=10)), Act.NOTHING),
        (STORING, situation(seen(Seen.STORING, done_bytes=6, total_bytes=10)), Act.PROGRESS),
        (STORING, situation(seen(Seen.STORING), worker_lost=True), Act.NOTHING),
        (STORING, situation(seen(Seen.STORING), **after(1800)), Act.CANCEL),
        (STORING, situation(seen(Seen.STORED), **after(9999)), Act.READY),
        (STORING, situation(seen(Seen.FAILED)), Act.FAIL),
        (a_snapshot(deleted_at=NOW), situation(seen(Seen.STORED)), Act.CANCEL),
        (a_snapshot(deleted_at=NOW), situation(Absence.UNKNOWN), Act.CANCEL),
        (a_snapshot(**READY), situation(seen(Seen.FAILED)), Act.NOTHING),
    ],
    ids=[
        "ordered",
        "silent",
        "not-taken",
        "bunker-gone",
        "never-seen-and-lost",
        "begun",
        "as-known",
        "more",
        "further",
        "copied-though-its-bunker-ends",
        "restarted",
        "not-heard",
        "lost",
        "stalled-and-silent",
        "late-phase",
        "late-count",
        "counted",
        "heard-though-lost",
        "stalled",
        "stored",
        "failed",
        "deleted",
        "deleted-and-silent",
        "over",
    ],
)
def test_the_next_step(snapshot: Snapshot, s: Situation, expected: Act) -> None:
    assert decide(snapshot, s).act is expected


def test_a_workers_reason_is_the_snapshots_and_bounded() -> None:
    step = decide(COPYING, situation(seen(Seen.FAILED, reason="x" * 9000)))
    assert step.reason == "x" * 2000


def test_of_a_workers_reason_no_more_is_kept() -> None:
    sightings = Sightings(SystemClock())
    sightings.observe("wrk_1", seen(Seen.FAILED, reason="x" * 9_000_000), 0.0)
    kept = sightings.last("wrk_1", "snp_1", float("inf"))
    assert kept is not None
    assert kept.reason == "x" * 2000


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"phase": SnapshotPhase.CAPTURING}, True),
        ({"phase": SnapshotPhase.PACKING}, False),
        ({"phase": SnapshotPhase.STORING}, False),
        ({"phase": SnapshotPhase.STORING, "purpose": Purpose.TERMINATION}, True),
        ({"phase": SnapshotPhase.STORING, "purpose": Purpose.PASSIVATION}, True),
        ({**READY, "purpose": Purpose.TERMINATION}, False),
        ({"status": SnapshotStatus.FAILED}, False),
    ],
    ids=["new", "copied", "packed", "stored", "ends", "sleeps", "ready", "failed"],
)
def test_a_bunker_stands_still_no_longer_than_it_must(changes: dict[str, Any], holds: bool) -> None:
    assert a_snapshot(**changes).holds_bunker is holds


def test_progress_is_of_the_whole() -> None:
    steps = [
        a_snapshot(),
        *(
            a_snapshot(phase=phase, done_bytes=done, total_bytes=10)
            for phase in SnapshotPhase
            for done in (0, 5, 10, 20)
        ),
        a_snapshot(**READY),
    ]
    found = [s.progress for s in steps]
    assert (found[0], found[-1]) == (0, 1)
    assert found == sorted(found)
    assert a_snapshot(phase=SnapshotPhase.PACKING).progress == found[5]


@pytest.mark.parametrize(
    ("counts", "resource"),
    [((10, 1), "snapshots"), ((9, 2), "unfinished_snapshots"), ((9, 1), None)],
    ids=["kept", "unfinished", "fits"],
)
def test_so_many_and_no_more(counts: tuple[int, int], resource: str | None) -> None:
    settings = SnapshotSettings(snapshot_max_per_tenant=10, snapshot_max_unfinished_per_tenant=2)
    if resource is None:
        check_counts("ten_1", Counts(*counts), settings)
        return
    with pytest.raises(BunkerQuotaExceeded) as refused:
        check_counts("ten_1", Counts(*counts), settings)
    [entry] = refused.value.details
    assert (entry["resource"], entry["bucket"]) == (resource, "tenant:ten_1")
    assert entry["requested"] == 1


def test_how_long_it_is_kept() -> None:
    assert expires_at(NOW, None, None) is None
    assert expires_at(NOW, 60, None) == expires_at(NOW, None, 60) == NOW + timedelta(seconds=60)
    assert expires_at(NOW, 60, 60) == NOW + timedelta(seconds=60)
    with pytest.raises(ValidationFailed):
        expires_at(NOW, 61, 60)


def test_only_what_is_ready_can_be_used() -> None:
    body = BunkerCreate(snapshot_id="snp_1")
    assert restore.source_of(body, a_snapshot(**READY)).kind is SnapshotKind.DISK
    for changes in ({}, {"status": SnapshotStatus.FAILED}, {**READY, "deleted_at": NOW}):
        with pytest.raises(SnapshotNotReady):
            restore.source_of(body, a_snapshot(**changes))


def test_sizes_are_the_snapshots_within_the_platforms() -> None:
    body, limits = BunkerCreate(snapshot_id="snp_1"), LimitSettings(platform_max_memory_mb=511)
    with pytest.raises(ValidationFailed) as refused:
        restore.shape_of(body, a_snapshot(**READY), SnapshotKind.FULL, limits)
    assert [entry["field"] for entry in refused.value.details] == ["memory_mb"]
    smaller = BunkerCreate(snapshot_id="snp_1", memory_mb=256)
    shape = restore.shape_of(smaller, a_snapshot(**READY), SnapshotKind.DISK, limits)
    assert (shape.cpu_millicores, shape.memory_mb, shape.disk_mb) == (1000, 256, 1024)


def test_the_latest_word_counts() -> None:
    clock = SystemClock()
    sightings = Sightings(clock)
    now = clock.monotonic()
    sightings.observe("wrk_1", seen(Seen.STORING), now)
    sightings.observe("wrk_1", seen(Seen.PACKING), now - 1)
    found = sightings.last("wrk_1", "snp_1", 60)
    assert found is not None
    assert found.phase is Seen.STORING
    assert sightings.last("wrk_2", "snp_1", 60) is None
    assert sightings.last("wrk_1", "snp_1", 0) is None
    sightings.forget("wrk_1", "snp_1")
    assert sightings.last("wrk_1", "snp_1", 60) is None
