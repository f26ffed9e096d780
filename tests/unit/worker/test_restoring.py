"""Machines made of snapshots: what comes back, and what is refused before it can do harm."""

import asyncio
import dataclasses
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest

from scaibunker.wire.guest import frames
from scaibunker.wire.guest.frames import Kind
from scaibunker.wire.worker.machines import MachineSpec, MachineState
from scaibunker.wire.worker.snapshots import (
    DISK_PART,
    MANIFEST_NAME,
    MEMORY_PART,
    SnapshotKind,
    SnapshotPhase,
    SnapshotRequest,
    SnapshotSource,
)
from scaibunker.worker import recover
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.room import Room
from scaibunker.worker.snapshots.store import LocalStore, SnapshotStore
from tests.mounts import fill, tmpfs
from tests.unit.worker.fake_host import FakeDriver, make_snapshots, spec
from tests.waiting import until

MIB = 1024 * 1024
END = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1}
MARK = b"written by the first machine"


@pytest.fixture
async def fleet(host: Host) -> AsyncIterator[Fleet]:
    fleet = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, fleet)
    yield fleet
    await fleet.destroy_all()


@pytest.fixture
async def manifest(tmp_path: Path, fleet: Fleet, host: Host) -> str:
    """A full snapshot of a machine that is there, `snp_first`; the SHA-256 of its manifest."""
    machine = fleet.order(spec())
    await until(lambda: machine.state is MachineState.RUNNING)
    with (host.machines_dir / machine.id / "upper.ext4").open("r+b") as disk:
        disk.seek(40 * MIB)
        disk.write(MARK)
    snapshots = make_snapshots(tmp_path)
    status = snapshots.order(machine, SnapshotRequest(snapshot_id="snp_first", kind="full"))
    await until(lambda: status.phase is SnapshotPhase.STORED)
    assert status.manifest_sha256 is not None
    return status.manifest_sha256


def _source(manifest: str, kind: SnapshotKind = "full", **fields: object) -> SnapshotSource:
    values = {"snapshot_id": "snp_first", "kind": kind, "manifest_sha256": manifest, **fields}
    return SnapshotSource.model_validate(values)


def _copy(manifest: str, kind: SnapshotKind = "full", **fields: object) -> MachineSpec:
    values: dict[str, object] = {"bunker_id": "bnk_copy1234", "hostname": "copy"}
    return spec(**{**values, "snapshot": _source(manifest, kind), **fields})


async def _settled(machine: Machine) -> Machine:
    await until(lambda: machine.state in (MachineState.RUNNING, MachineState.FAILED))
    return machine


async def test_a_copy_goes_on_with_its_memory_and_is_another_machine(
    fleet: Fleet, host: Host, driver: FakeDriver, manifest: str
) -> None:
    machine = await _settled(fleet.order(_copy(manifest)))
    assert machine.state is MachineState.RUNNING, machine.status().reason
    assert driver.restored == [b"state of a machine"]
    assert not driver.vmms[1].paused
    first, second = driver.identities
    assert second["token_hex"] == machine.record.token_hex != driver.tokens[0]
    assert second["generation"] != first["generation"]
    assert second["disown_execs"] is True
    assert "token_hex" not in first
    disk = (host.machines_dir / machine.id / "upper.ext4").read_bytes()
    assert disk[40 * MIB :].startswith(MARK)
    assert not list((host.machines_dir / machine.id / "restore").iterdir())


async def test_a_disk_alone_boots_and_may_be_larger(
    fleet: Fleet, host: Host, driver: FakeDriver, manifest: str
) -> None:
    machine = await _settled(fleet.order(_copy(manifest, "disk", disk_mb=128, memory_mb=512)))
    assert machine.state is MachineState.RUNNING, machine.status().reason
    assert driver.restored == []
    path = host.machines_dir / machine.id / "upper.ext4"
    assert path.stat().st_size == 128 * MIB
    assert path.read_bytes()[40 * MIB :].startswith(MARK)
    assert "disown_execs" not in driver.identities[1]


async def test_the_same_bunker_keeps_its_commands(
    fleet: Fleet, driver: FakeDriver, manifest: str
) -> None:
    before = driver.requests.count("GET /v1/execs")
    order = _copy(manifest, snapshot=_source(manifest, keep_execs=True))
    machine = await _settled(fleet.order(order))
    assert machine.state is MachineState.RUNNING
    assert "disown_execs" not in driver.identities[1]
    await until(lambda: driver.requests.count("GET /v1/execs") > before)


async def test_what_its_commands_have_written_wakes_with_it(
    tmp_path: Path, fleet: Fleet, host: Host, driver: FakeDriver
) -> None:
    """More than the agent keeps: it is asked for what came after that. It is nobody else's."""
    written = b"".join(frames.encode(Kind.STDOUT, bytes([n]) * 60_000) for n in range(8))
    machine = await _settled(fleet.order(spec()))
    folder = host.machines_dir / machine.id / "execs"
    (folder / "exe_running1.frames").write_bytes(written + b"half a frame")
    (folder / "exe_ended123.frames").write_bytes(frames.encode_json(Kind.EXIT, END))
    machine.spools.take_in()
    snapshots = make_snapshots(tmp_path)
    wanted = SnapshotRequest(snapshot_id="snp_first", kind="full", keep_execs=True)
    status = snapshots.order(machine, wanted)
    await until(lambda: status.phase in (SnapshotPhase.STORED, SnapshotPhase.FAILED))
    assert status.manifest_sha256 is not None, status.reason
    await fleet.destroy(machine.id)
    driver.requests.clear()

    source = _source(status.manifest_sha256, keep_execs=True)
    machine = await _settled(fleet.order(spec(snapshot=source)))
    assert machine.state is MachineState.RUNNING, machine.status().reason
    assert (folder / "exe_running1.frames").read_bytes() == written
    assert machine.spools.get("exe_ended123").finished
    asked = f"GET /v1/execs/exe_running1/frames?offset={len(written)}"
    await until(lambda: asked in driver.requests, what=lambda: f"{asked} in {driver.requests}")
    copy = await _settled(fleet.order(_copy(status.manifest_sha256)))
    assert not list((host.machines_dir / copy.id / "execs").iterdir())


async def test_one_that_wakes_does_not_wait_for_those_that_boot(
    fleet: Fleet, driver: FakeDriver, manifest: str
) -> None:
    """They may take long, and are many."""
    driver.deaf = True
    booting = [fleet.order(spec(bunker_id=f"bnk_boot{n}")) for n in range(4)]
    await until(lambda: len(driver.vmms) == 3)  # with the one that was copied; two at a time
    driver.deaf = False
    new = fleet.order(_copy(manifest, bunker_id="bnk_new12345"))
    source = _source(manifest, keep_execs=True)
    wakes = [fleet.order(spec(bunker_id=f"bnk_wake{n}", snapshot=source)) for n in range(3)]
    for machine in wakes:
        assert (await _settled(machine)).state is MachineState.RUNNING, machine.status().reason
    assert {machine.state for machine in (*booting, new)} == {MachineState.BUILDING}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize("spoil", [_flip, _cut, _lengthen, Path.unlink])
@pytest.mark.parametrize("name", [DISK_PART, MEMORY_PART, MANIFEST_NAME])
async def test_what_is_not_as_it_was_stored_is_refused(
    tmp_path: Path,
    fleet: Fleet,
    host: Host,
    driver: FakeDriver,
    manifest: str,
    name: str,
    spoil: Callable[[Path], None],
) -> None:
    spoil(tmp_path / "stored" / "snp_first" / name)
    machine = await _settled(fleet.order(_copy(manifest)))
    assert machine.state is MachineState.FAILED
    reason = machine.status().reason or ""
    assert reason.startswith("disk: ")
    assert "not what was stored" in reason or "in storage" in reason
    assert len(driver.vmms) == 1
    assert [p.name for p in (host.machines_dir / machine.id).iterdir() if p.is_file()] == [
        "machine.json"
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"memory_mb": 512}, "256 MiB of memory, which must be the same"),
        ({"cpu_millicores": 2000}, "1 CPUs and"),
        ({"disk_mb": 128}, "keeps its disk's size"),
        ({"disk_mb": 63 + 1, "tenant_id": "ten_b"}, "not the one that was meant"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_reason(
    fleet: Fleet, driver: FakeDriver, manifest: str, fields: dict[str, object], reason: str
) -> None:
    machine = await _settled(fleet.order(_copy(manifest, **fields)))
    assert machine.state is MachineState.FAILED
    assert reason in (machine.status().reason or "")
    assert driver.restored == []


async def test_another_processor_is_refused_and_the_disk_is_offered(
    fleet: Fleet, driver: FakeDriver, manifest: str
) -> None:
    driver.state_format = "fake 2"
    machine = await _settled(fleet.order(_copy(manifest)))
    assert "saved by fake 1; this worker has fake 2" in (machine.status().reason or "")
    await fleet.destroy(machine.id)
    again = await _settled(fleet.order(_copy(manifest, "disk")))
    assert again.state is MachineState.RUNNING


async def test_a_full_disk_is_told_before_anything_is_fetched(
    fleet: Fleet, manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    get = LocalStore.get

    def watched(store: LocalStore, name: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        asked.append(name)
        return get(store, name, start)

    monkeypatch.setattr(LocalStore, "get", watched)
    monkeypatch.setattr(Room, "free", lambda _room: 1000)
    machine = await _settled(fleet.order(_copy(manifest)))
    assert "has 0 MiB to give, the snapshot needs" in (machine.status().reason or "")
    assert asked == ["snp_first/manifest.json"]


@pytest.mark.parametrize("kind", ["full", "disk"])
async def test_a_disk_that_fills_up_meanwhile_is_told_and_nothing_is_left(
    tmp_path: Path, host: Host, manifest: str, kind: SnapshotKind
) -> None:
    with tmpfs(tmp_path / "small", 32 * MIB) as small:
        store = Hesitant(host.store)
        there = dataclasses.replace(host, machines_dir=small / "machines", store=store)
        fleet = Fleet(there, 710_000, lambda: None)
        recover.take_over(there, fleet)
        machine = fleet.order(_copy(manifest, kind))
        await until(lambda: store.waits)
        fill(small / "others")
        store.go_on.set()
        await _settled(machine)
        assert machine.state is MachineState.FAILED
        assert "MiB to give" in (machine.status().reason or "")
        names = {p.name for p in (small / "machines" / machine.id).rglob("*")}
        assert names <= {"machine.json", "execs", "vmm.log"}
        await fleet.destroy_all()


class Hesitant:
    """A store that waits in the middle of a disk."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self.waits = False
        self.go_on = asyncio.Event()
        self.put, self.delete = store.put, store.delete

    async def get(self, name: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        async for chunk in self._store.get(name, start):
            if name.endswith(DISK_PART):
                self.waits = True
                await self.go_on.wait()
            yield chunk


async def test_what_a_dead_daemon_began_is_begun_anew(
    host: Host, fleet: Fleet, driver: FakeDriver, manifest: str
) -> None:
    driver.deaf = True
    machine = fleet.order(_copy(manifest))
    await until(lambda: len(driver.vmms) == 2)
    await fleet.let_go()
    # The half-built machine has written to its disk.
    (host.machines_dir / machine.id / "upper.ext4").write_bytes(b"something else")
    driver.deaf = False
    again = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, again)
    copy = await _settled(again.get(machine.id))
    assert copy.state is MachineState.RUNNING, copy.status().reason
    assert not driver.vmms[1].running
    assert len(driver.restored) == 2
    disk = (host.machines_dir / machine.id / "upper.ext4").read_bytes()
    assert disk[40 * MIB :].startswith(MARK)
    await again.destroy_all()
