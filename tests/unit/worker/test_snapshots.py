"""Snapshots over their whole life, on a host that exists in memory: whatever fails, the machine goes on."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.snapshots import (
    DIGESTS_PART,
    DISK_PART,
    MANIFEST_NAME,
    MEMORY_PART,
    SnapshotManifest,
    SnapshotPhase,
    SnapshotRequest,
    SnapshotStatus,
)
from scaibunker.worker import recover
from scaibunker.worker.errors import MachineNotRunning, SnapshotNotFound, WorkerFault
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.room import Room
from scaibunker.worker.snapshots import delivery
from scaibunker.worker.snapshots.jobs import Snapshots
from scaibunker.worker.snapshots.store import LocalStore, StoreAway
from tests.unit.worker.fake_host import FakeDriver, make_snapshots, spec
from tests.waiting import until

Kind = Literal["disk", "full"]


@pytest.fixture
async def machine(host: Host) -> AsyncIterator[Machine]:
    fleet = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, fleet)
    machine = fleet.order(spec())
    await until(lambda: machine.state is MachineState.RUNNING)
    yield machine
    await fleet.destroy_all()


def _order(snapshots: Snapshots, machine: Machine, kind: Kind = "full") -> SnapshotStatus:
    return snapshots.order(machine, SnapshotRequest(snapshot_id="snp_abcd1234", kind=kind))


async def _ended(status: SnapshotStatus) -> None:
    await until(lambda: status.phase in (SnapshotPhase.STORED, SnapshotPhase.FAILED))


def _goes_on(machine: Machine, driver: FakeDriver, tmp_path: Path) -> None:
    assert machine.state is MachineState.RUNNING
    assert machine.agent is not None
    assert not driver.vmms[0].paused
    assert not machine.record.frozen_for_copy
    left = tmp_path / "snapshots"
    assert not left.exists() or list(left.iterdir()) == []


@pytest.mark.parametrize("kind", ["disk", "full"])
async def test_a_snapshot_is_stored_with_all_that_a_restore_needs(
    tmp_path: Path, machine: Machine, driver: FakeDriver, kind: Kind
) -> None:
    snapshots = make_snapshots(tmp_path)
    before = len(driver.requests)
    status = _order(snapshots, machine, kind)
    assert _order(snapshots, machine, kind) is status
    await _ended(status)
    assert (status.phase, status.reason) == (SnapshotPhase.STORED, None)
    _goes_on(machine, driver, tmp_path)
    assert driver.requests[before:] == ["PUT /v1/hold", "PUT /v1/clock", "DELETE /v1/hold"]
    stored = tmp_path / "stored" / "snp_abcd1234"
    names = {DIGESTS_PART, DISK_PART, MANIFEST_NAME} | ({MEMORY_PART} if kind == "full" else set())
    assert {p.name for p in stored.iterdir()} == names
    data = (stored / MANIFEST_NAME).read_bytes()
    assert hashlib.sha256(data).hexdigest() == status.manifest_sha256
    manifest = SnapshotManifest.model_validate_json(data)
    for name, part in manifest.parts.items():
        content = (stored / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (part.size, part.sha256)
    assert status.size_bytes == sum(p.stat().st_size for p in stored.iterdir())
    assert (manifest.image_sha256, manifest.disk_mb, manifest.vcpus) == (spec().image_sha256, 64, 1)
    assert (manifest.state_format == "fake 1") is (kind == "full")
    assert manifest.token_hex == (machine.record.token_hex if kind == "full" else "")


async def test_while_it_is_copied_no_command_runs_and_no_power_order_gets_between(
    tmp_path: Path, machine: Machine, driver: FakeDriver
) -> None:
    driver.vmms[0].saves.clear()
    snapshots = make_snapshots(tmp_path)
    status = _order(snapshots, machine)
    await until(lambda: driver.vmms[0].paused)
    assert machine.record.frozen_for_copy
    with pytest.raises(MachineNotRunning, match="being copied"):
        _ = machine.agent
    pausing = asyncio.create_task(machine.pause())
    driver.vmms[0].saves.set()
    await _ended(status)
    await pausing
    assert machine.state is MachineState.PAUSED
    assert status.phase is SnapshotPhase.STORED
    # A paused machine is copied as it is, and stays paused.
    again = snapshots.order(machine, SnapshotRequest(snapshot_id="snp_again", kind="full"))
    await _ended(again)
    assert again.phase is SnapshotPhase.STORED
    assert driver.vmms[0].paused


@pytest.mark.parametrize("broken", ["save", "store", "space", "hold", "vmm"])
async def test_whatever_fails_is_told_and_leaves_nothing(
    tmp_path: Path,
    machine: Machine,
    driver: FakeDriver,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshots = make_snapshots(tmp_path)
    match broken:
        case "save":
            driver.vmms[0].save_fails = True
        case "space":
            monkeypatch.setattr(Room, "free", lambda _room: 1000)
        case "hold":
            driver.old_agents = True
        case "vmm":
            driver.vmms[0].saves.clear()
        case "store":

            async def refuse(*_args: object, **_options: object) -> None:
                raise WorkerFault("storage is down")

            monkeypatch.setattr(LocalStore, "put", refuse)
    status = _order(snapshots, machine)
    if broken == "vmm":
        await until(lambda: driver.vmms[0].paused)
        await snapshots.forget(status.snapshot_id)
    await _ended(status)
    assert status.phase is SnapshotPhase.FAILED
    assert status.reason
    assert status.manifest_sha256 is None
    _goes_on(machine, driver, tmp_path)
    assert not list((tmp_path / "stored").glob("*/*"))


async def test_a_store_that_is_away_for_a_moment_is_waited_for(
    tmp_path: Path, machine: Machine, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "STORE_PAUSES_S", (0.0, 0.0))
    tries: list[str] = []
    put = LocalStore.put

    async def falter(
        store: LocalStore, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str
    ) -> None:
        tries.append(name)
        if tries.count(name) < 3:
            raise StoreAway("nobody there")
        await put(store, name, chunks, size=size, sha256=sha256)

    monkeypatch.setattr(LocalStore, "put", falter)
    status = _order(make_snapshots(tmp_path), machine)
    await _ended(status)
    assert status.phase is SnapshotPhase.STORED
    assert len(tries) == 12


async def test_taking_the_machine_down_ends_its_snapshot(
    tmp_path: Path, host: Host, driver: FakeDriver
) -> None:
    fleet = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, fleet)
    machine = fleet.order(spec())
    await until(lambda: machine.state is MachineState.RUNNING)
    driver.vmms[0].saves.clear()
    status = _order(make_snapshots(tmp_path), machine)
    await until(lambda: driver.vmms[0].paused)
    await fleet.destroy(machine.id)
    await _ended(status)
    assert "taken down" in (status.reason or "")
    assert list(host.machines_dir.iterdir()) == []
    assert list(host.snapshots_dir.iterdir()) == []


async def test_a_daemon_that_dies_over_a_copy_leaves_a_machine_that_goes_on(
    tmp_path: Path, host: Host, driver: FakeDriver
) -> None:
    first = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, first)
    machine = first.order(spec())
    await until(lambda: machine.state is MachineState.RUNNING)
    await first.let_go()
    # As it is in the middle of a copy.
    machine.record.frozen_for_copy = True
    machine.write_down()
    await driver.vmms[0].pause()
    (host.snapshots_dir / "snp_half").mkdir(parents=True)
    second = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, second)
    snapshots = make_snapshots(tmp_path)
    again = second.get(machine.id)
    await until(lambda: again.state is MachineState.RUNNING)
    _goes_on(again, driver, tmp_path)
    with pytest.raises(SnapshotNotFound):
        snapshots.get("snp_half")
    await second.destroy_all()


async def test_an_id_is_used_once(tmp_path: Path, machine: Machine) -> None:
    snapshots = make_snapshots(tmp_path)
    await _ended(_order(snapshots, machine, "disk"))
    with pytest.raises(WorkerFault, match="another one"):
        _order(snapshots, machine, "full")
    await snapshots.forget("snp_abcd1234")
    await snapshots.forget("snp_abcd1234")
    assert snapshots.statuses() == []
