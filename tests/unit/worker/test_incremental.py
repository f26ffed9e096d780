"""Snapshots that hold the differences to another one: when they do, what comes of them, what is refused."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scaibunker.wire.worker.machines import MachineSpec, MachineState
from scaibunker.wire.worker.snapshots import (
    DIGESTS_PART,
    DISK_PART,
    MANIFEST_NAME,
    SnapshotBase,
    SnapshotManifest,
    SnapshotPhase,
    SnapshotRequest,
    SnapshotSource,
    SnapshotStatus,
)
from scaibunker.worker import recover
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.machine import Machine
from scaibunker.worker.snapshots import bases, chain
from scaibunker.worker.snapshots.jobs import Snapshots
from tests.unit.worker.fake_host import make_snapshots, spec
from tests.waiting import until

MIB = 1024 * 1024
Spoil = Callable[[Path], object]


class Worker:
    """A fleet, its snapshots, and what is on its machines' disks."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.stored = folder / "stored"
        self.host = host
        self.fleet = Fleet(host, 700_000, lambda: None)
        recover.take_over(host, self.fleet)
        self.snapshots: Snapshots = make_snapshots(folder)
        self._copies = 0

    async def create(self, **fields: object) -> Machine:
        machine = self.fleet.order(spec(**fields))
        return await self.settled(machine)

    async def settled(self, machine: Machine) -> Machine:
        await until(lambda: machine.state in (MachineState.RUNNING, MachineState.FAILED))
        return machine

    def disk(self, machine: Machine) -> Path:
        return self.host.machines_dir / machine.id / "upper.ext4"

    def write(self, machine: Machine, offset: int, data: bytes) -> None:
        with self.disk(machine).open("r+b") as disk:
            disk.seek(offset)
            disk.write(data)

    async def snapshot(
        self, machine: Machine, name: str, base: SnapshotStatus | None = None
    ) -> SnapshotStatus:
        request = SnapshotRequest(
            snapshot_id=name, kind="disk", base=None if base is None else as_base(base)
        )
        status = self.snapshots.order(machine, request)
        await until(lambda: status.phase in (SnapshotPhase.STORED, SnapshotPhase.FAILED))
        assert status.phase is SnapshotPhase.STORED, status.reason
        return status

    async def copy(self, status: SnapshotStatus, **fields: object) -> Machine:
        self._copies += 1
        return await self.settled(self.fleet.order(of(status, self._copies, **fields)))

    def manifest(self, status: SnapshotStatus) -> SnapshotManifest:
        data = (self.stored / status.snapshot_id / MANIFEST_NAME).read_bytes()
        return SnapshotManifest.model_validate_json(data)


def as_base(status: SnapshotStatus) -> SnapshotBase:
    assert status.manifest_sha256 is not None
    return SnapshotBase(snapshot_id=status.snapshot_id, manifest_sha256=status.manifest_sha256)


def of(status: SnapshotStatus, number: int, **fields: object) -> MachineSpec:
    source = SnapshotSource(kind="disk", **as_base(status).model_dump())
    values = {"bunker_id": f"bnk_copy{number}", "hostname": "copy", "snapshot": source}
    return spec(**{**values, **fields})


@pytest.fixture
async def worker(tmp_path: Path, host: Host) -> AsyncIterator[Worker]:
    worker = Worker(tmp_path, host)
    yield worker
    await worker.fleet.destroy_all()


@pytest.fixture
async def machine(worker: Worker) -> Machine:
    """With 8 MiB on its disk that nothing compresses."""
    machine = await worker.create()
    worker.write(machine, 20 * MIB, os.urandom(8 * MIB))
    return machine


async def test_a_second_snapshot_holds_what_changed_and_is_restored_whole(
    worker: Worker, machine: Machine
) -> None:
    first = await worker.snapshot(machine, "snp_first")
    worker.write(machine, 22 * MIB, b"changed")
    second = await worker.snapshot(machine, "snp_second", first)
    content = worker.disk(machine).read_bytes()
    assert (first.base_snapshot_id, second.base_snapshot_id) == (None, "snp_first")
    assert worker.manifest(first).version == 1
    manifest = worker.manifest(second)
    assert (manifest.version, manifest.base) == (2, as_base(first))
    assert manifest.parts[DISK_PART].size < 100_000 < first.size_bytes
    copy = await worker.copy(second)
    assert copy.state is MachineState.RUNNING, copy.status().reason
    assert worker.disk(copy).read_bytes() == content
    assert worker.disk(copy).stat().st_blocks <= worker.disk(machine).stat().st_blocks + 1024
    # The first one is what it was.
    assert worker.disk(await worker.copy(first)).read_bytes() != content


async def test_a_machine_that_was_made_of_a_snapshot_goes_on_with_differences(
    worker: Worker, machine: Machine, tmp_path: Path
) -> None:
    first = await worker.snapshot(machine, "snp_first")
    copy = await worker.copy(first, disk_mb=96)
    worker.write(copy, 23 * MIB, b"of the copy")
    worker.write(copy, 90 * MIB, b"where it has grown")
    # The next daemon knows it too.
    await worker.fleet.let_go()
    worker.fleet = Fleet(worker.host, 700_000, lambda: None)
    recover.take_over(worker.host, worker.fleet)
    worker.snapshots = make_snapshots(tmp_path)
    copy = await worker.settled(worker.fleet.get(copy.id))
    second = await worker.snapshot(copy, "snp_second", first)
    assert second.base_snapshot_id == "snp_first"
    assert worker.manifest(second).parts[DISK_PART].size < 100_000
    again = await worker.copy(second, disk_mb=96)
    assert worker.disk(again).read_bytes() == worker.disk(copy).read_bytes()


async def test_what_may_not_be_used_or_is_not_worth_it_is_not_used(
    worker: Worker, machine: Machine
) -> None:
    first = await worker.snapshot(machine, "snp_first")
    # Another one than is known here.
    other = first.model_copy(update={"manifest_sha256": "0" * 64})
    assert (await worker.snapshot(machine, "snp_b", other)).base_snapshot_id is None
    # Known, and not offered; and not the last any more.
    assert (await worker.snapshot(machine, "snp_c")).base_snapshot_id is None
    last = await worker.snapshot(machine, "snp_d", first)
    assert last.base_snapshot_id is None
    # More has changed than has not.
    worker.write(machine, 20 * MIB, os.urandom(8 * MIB))
    last = await worker.snapshot(machine, "snp_e", last)
    assert last.base_snapshot_id is None
    # What is known is not what was written.
    path = machine.base_file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert (await worker.snapshot(machine, "snp_f", last)).base_snapshot_id is None


async def test_a_chain_has_an_end(
    worker: Worker, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (chain, bases):
        monkeypatch.setattr(module, "MAX_CHAIN", 3)
    made = [await worker.snapshot(machine, "snp_c0")]
    for number in range(1, 6):
        worker.write(machine, (20 + number) * MIB, b"x" * number)
        made.append(await worker.snapshot(machine, f"snp_c{number}", made[-1]))
    rest_upon = [status.base_snapshot_id for status in made]
    assert rest_upon == [None, "snp_c0", "snp_c1", "snp_c2", None, "snp_c4"]
    copy = await worker.copy(made[3])
    assert copy.state is MachineState.RUNNING
    disk = worker.disk(copy).read_bytes()
    assert [disk[(20 + n) * MIB :].startswith(b"x" * n) for n in (1, 2, 3)] == [True] * 3
    assert not disk[24 * MIB :].startswith(b"xxxx")
    for module in (chain, bases):
        monkeypatch.setattr(module, "MAX_CHAIN", 2)
    refused = await worker.copy(made[3])
    assert "rests upon more than 2 others" in (refused.status().reason or "")


async def test_a_chain_that_has_become_heavy_ends(worker: Worker, machine: Machine) -> None:
    """Differences to one whole disk never take more than that again, and one more: whatever came in between."""

    async def changed(machine: Machine, name: str, base: SnapshotStatus) -> SnapshotStatus:
        worker.write(machine, 20 * MIB, os.urandom(3 * MIB))
        return await worker.snapshot(machine, name, base)

    last = await worker.snapshot(machine, "snp_c0")
    for number in (1, 2):
        last = await changed(machine, f"snp_c{number}", last)
        assert last.base_snapshot_id == f"snp_c{number - 1}"
    copy = await worker.copy(last)  # who is made of it counts on
    last = await changed(copy, "snp_c3", last)
    assert last.base_snapshot_id == "snp_c2"
    last = await changed(copy, "snp_c4", last)
    assert last.base_snapshot_id is None
    last = await changed(copy, "snp_c5", last)
    assert last.base_snapshot_id == "snp_c4"


async def test_memory_is_whole_and_its_disk_differences(worker: Worker, machine: Machine) -> None:
    first = await worker.snapshot(machine, "snp_first")
    request = SnapshotRequest(snapshot_id="snp_full", kind="full", base=as_base(first))
    status = worker.snapshots.order(machine, request)
    await until(lambda: status.phase is SnapshotPhase.STORED)
    assert status.base_snapshot_id == "snp_first"
    source = SnapshotSource(kind="full", **as_base(status).model_dump())
    copy = await worker.copy(status, snapshot=source)
    assert copy.state is MachineState.RUNNING, copy.status().reason
    assert worker.disk(copy).read_bytes() == worker.disk(machine).read_bytes()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("base gone", "there is no snp_first/manifest.json in storage"),
        ("disk gone", "there is no snp_first/disk.zst in storage"),
        ("disk changed", "disk.zst is not what was stored"),
        ("manifest changed", "manifest is not what was stored"),
    ],
)
async def test_without_its_base_it_is_refused(
    worker: Worker, machine: Machine, spoil: str, reason: str
) -> None:
    first = await worker.snapshot(machine, "snp_first")
    second = await worker.snapshot(machine, "snp_second", first)
    assert second.base_snapshot_id == "snp_first"
    folder = worker.stored / "snp_first"
    match spoil:
        case "base gone":
            (folder / MANIFEST_NAME).unlink()
        case "disk gone":
            (folder / DISK_PART).unlink()
        case "disk changed":
            data = bytearray((folder / DISK_PART).read_bytes())
            data[len(data) // 2] ^= 1
            (folder / DISK_PART).write_bytes(data)
        case "manifest changed":
            changed = worker.manifest(first).model_copy(update={"tenant_id": "ten_b"})
            (folder / MANIFEST_NAME).write_text(changed.model_dump_json())
    copy = await worker.copy(second)
    assert copy.state is MachineState.FAILED
    assert reason in (copy.status().reason or "")
    assert not worker.disk(copy).exists()


async def test_another_tenants_snapshot_is_no_base(worker: Worker, machine: Machine) -> None:
    """Whoever is told a manifest's checksum can name it, if a controller errs."""
    theirs = await worker.create(bunker_id="bnk_theirs", tenant_id="ten_b")
    secret = await worker.snapshot(theirs, "snp_theirs")
    first = await worker.snapshot(machine, "snp_first")
    second = await worker.snapshot(machine, "snp_second", first)
    manifest = worker.manifest(second).model_copy(update={"base": as_base(secret)})
    data = manifest.model_dump_json().encode()
    (worker.stored / "snp_second" / MANIFEST_NAME).write_bytes(data)
    forged = second.model_copy(update={"manifest_sha256": hashlib.sha256(data).hexdigest()})
    copy = await worker.copy(forged)
    assert "another one than was meant" in (copy.status().reason or "")


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"x")])
async def test_without_digests_it_is_restored_and_the_next_one_is_whole(
    worker: Worker, machine: Machine, spoil: Spoil
) -> None:
    first = await worker.snapshot(machine, "snp_first")
    spoil(worker.stored / "snp_first" / DIGESTS_PART)
    copy = await worker.copy(first)
    assert copy.state is MachineState.RUNNING
    assert (await worker.snapshot(copy, "snp_second", first)).base_snapshot_id is None
