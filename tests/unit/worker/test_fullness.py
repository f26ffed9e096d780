"""A worker whose disk is full: no new machines, no snapshots, and what runs goes on; until there is room again."""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.snapshots import SnapshotPhase, SnapshotRequest, SnapshotStatus
from scaibunker.worker import fullness, recover
from scaibunker.worker.api.errors import answer
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.fullness import promised
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.snapshots.jobs import Snapshots
from tests.mounts import fill, tmpfs
from tests.unit.worker.fake_host import FakeDriver, spec
from tests.waiting import until

MIB = 1024 * 1024
SIZE, RESERVE = 64 * MIB, 8 * MIB
TOTAL = Capacity(cpu_millicores=1000, memory_mb=1000, disk_mb=100_000)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with tmpfs(tmp_path / "small", SIZE) as path:
        yield path


@pytest.fixture
def there(host: Host, small: Path) -> Host:
    """The host with its machines and snapshots on a small disk, and its store elsewhere."""
    return dataclasses.replace(
        host,
        machines_dir=small / "machines",
        snapshots_dir=small / "snapshots",
        reserve_bytes=RESERVE,
    )


@pytest.fixture
async def fleet(there: Host) -> AsyncIterator[Fleet]:
    fleet = Fleet(there, 700_000, lambda: None)
    recover.take_over(there, fleet)
    yield fleet
    await fleet.destroy_all()


@pytest.fixture
async def machine(fleet: Fleet) -> Machine:
    machine = fleet.order(spec())
    await until(lambda: machine.state is MachineState.RUNNING)
    return machine


def _leave(room: Host, free: int) -> Path:
    """Somebody else fills the disk, up to so many bytes beyond the reserve."""
    others = room.machines_dir.parent / "others"
    others.write_bytes(b"x" * (room.room.free() - free))
    return others


async def test_new_machines_are_refused_and_those_that_are_there_go_on(
    there: Host, fleet: Fleet, machine: Machine
) -> None:
    others = _leave(there, 0)
    before = sorted(p.name for p in there.machines_dir.iterdir())
    with pytest.raises(WorkerFault, match="disk is full") as refused:
        fleet.order(spec(bunker_id="bnk_second"))
    assert refused.value.code is Code.WORKER_UNAVAILABLE
    # A controller places what is refused with 4xx on another worker, at once.
    assert answer(refused.value).status == 409
    assert sorted(p.name for p in there.machines_dir.iterdir()) == before
    assert [m.id for m in fleet] == [machine.id]
    assert fleet.order(spec()) is machine
    assert machine.agent is not None
    others.unlink()
    second = fleet.order(spec(bunker_id="bnk_second"))
    await until(lambda: second.state is MachineState.RUNNING)


async def test_what_is_promised_falls_with_what_is_there(
    there: Host, fleet: Fleet, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "GRAIN_MB", 1)

    def said(*, overcommitted: bool = False) -> int:
        return promised(TOTAL, there.room, fleet, overcommitted=overcommitted).disk_mb

    empty = said()
    assert 50 <= empty <= 56
    # What a machine takes of its own disk is promised still.
    with (there.machines_dir / machine.id / "upper.ext4").open("r+b") as disk:
        disk.seek(10 * MIB)
        disk.write(os.urandom(10 * MIB))
    assert empty - 1 <= said() <= empty
    others = _leave(there, 20 * MIB)
    assert empty - 30 <= said() <= empty - 20
    assert said(overcommitted=True) == TOTAL.disk_mb
    others.unlink()
    others = _leave(there, 0)
    assert said() == said(overcommitted=True) == 0
    others.unlink()
    assert empty - 1 <= said() <= empty
    assert promised(TOTAL, there.room, fleet, overcommitted=False).memory_mb == TOTAL.memory_mb


async def _order(there: Host, machine: Machine) -> SnapshotStatus:
    snapshots = Snapshots(there.snapshots_dir, there.store, lambda: None, RESERVE)
    status = snapshots.order(machine, SnapshotRequest(snapshot_id="snp_a", kind="disk"))
    await until(lambda: status.phase in (SnapshotPhase.FAILED, SnapshotPhase.STORED))
    return status


async def test_a_snapshot_that_cannot_fit_is_refused_before_the_machine_is_touched(
    there: Host, machine: Machine, driver: FakeDriver
) -> None:
    with (there.machines_dir / machine.id / "upper.ext4").open("r+b") as disk:
        disk.seek(10 * MIB)
        disk.write(os.urandom(10 * MIB))
    _leave(there, 15 * MIB)
    asked = len(driver.requests)
    status = await _order(there, machine)
    assert status.phase is SnapshotPhase.FAILED
    assert "15 MiB to give, a snapshot of it needs 2" in (status.reason or "")
    assert len(driver.requests) == asked
    assert machine.state is MachineState.RUNNING
    assert machine.agent is not None


@pytest.mark.parametrize("when", ["copying", "packing"])
async def test_a_disk_that_fills_up_meanwhile_ends_the_snapshot_alone(
    there: Host, machine: Machine, driver: FakeDriver, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (there.machines_dir / machine.id / "upper.ext4").open("r+b") as disk:
        disk.seek(10 * MIB)
        disk.write(os.urandom(6 * MIB))
    if when == "copying":
        pause = type(driver.vmms[0]).pause

        async def fill_and_pause(vmm: object) -> None:
            _leave(there, 0)
            await pause(vmm)  # type: ignore[arg-type]

        monkeypatch.setattr(type(driver.vmms[0]), "pause", fill_and_pause)
    else:
        capture = Machine.capture

        async def capture_and_fill(self: Machine, *arguments: object) -> object:
            captured = await capture(self, *arguments)  # type: ignore[arg-type]
            _leave(there, 0)
            return captured

        monkeypatch.setattr(Machine, "capture", capture_and_fill)
    status = await _order(there, machine)
    assert status.phase is SnapshotPhase.FAILED
    assert "0 MiB to give" in (status.reason or "")
    assert not driver.vmms[0].paused
    assert machine.state is MachineState.RUNNING
    assert machine.agent is not None
    assert list(there.snapshots_dir.iterdir()) == []
    # The reserve has not been touched: a machine can still write.
    state = os.statvfs(there.machines_dir)
    assert state.f_bavail * state.f_frsize >= RESERVE - MIB


async def test_guests_that_a_full_disk_has_stopped_go_on(
    there: Host, fleet: Fleet, machine: Machine, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "LOOK_EVERY_S", 0.01)
    paused = fleet.order(spec(bunker_id="bnk_paused"))
    await until(lambda: paused.state is MachineState.RUNNING)
    await paused.pause()
    looks: list[int] = []
    free = type(there.room).free

    def counted(room: object) -> int:
        looks.append(free(room))  # type: ignore[arg-type]
        return looks[-1]

    monkeypatch.setattr(type(there.room), "free", counted)
    watching = asyncio.create_task(fullness.watch(there.room, fleet))
    await until(lambda: len(looks) > 2)
    others = there.machines_dir.parent / "others"
    fill(others)
    await until(lambda: looks[-1] == 0)
    await driver.vmms[0].pause()  # QEMU does so by itself
    looks.clear()
    await until(lambda: len(looks) > 3)
    assert driver.vmms[0].paused
    others.unlink()
    clocks = driver.requests.count("PUT /v1/clock")
    await until(lambda: not driver.vmms[0].paused)
    await until(lambda: driver.requests.count("PUT /v1/clock") == clocks + 1)
    # One that its owner has paused stays so.
    assert driver.vmms[1].paused
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await paused.resume()
