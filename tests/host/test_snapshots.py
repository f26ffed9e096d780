"""Snapshots of real machines: many of one, and what is left of one whose daemon is killed over it."""

import asyncio
import contextlib
import hashlib
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from scaibunker.artifacts.manifest import Artifacts
from tests.host.traces import children, traces
from tests.host.worker_process import WorkerProcess
from tests.mounts import fill, tmpfs
from tests.waiting import until

MIB = 1024 * 1024


def source_of(status: dict[str, Any]) -> dict[str, Any]:
    """What a machine is made of that snapshot by."""
    return {k: status[k] for k in ("snapshot_id", "kind", "manifest_sha256")}


async def test_twenty_snapshots_leave_no_trace(worker: WorkerProcess) -> None:
    machine = await worker.create(memory_mb=128)
    await worker.run(
        machine, "(while sleep 0.05; do date +%s > /tmp/c; mv /tmp/c /tmp/now; done) &"
    )
    await worker.run(machine, "head -c 8M /dev/urandom > /home/bunker/data")
    last: dict[str, Any] | None = None

    async def snapshot(number: int) -> None:
        """Every fourth with memory; each is restored by way of the one before, three times in four."""
        nonlocal last
        kind = "full" if number % 4 == 0 else "disk"
        await worker.run(machine, f"echo {number} > /home/bunker/number")
        base = None
        if last is not None and number % 4:
            base = {k: last[k] for k in ("snapshot_id", "manifest_sha256")}
        status = await worker.snapshot(machine, kind, base=base)
        assert status["phase"] == "stored", status
        assert (status["base_snapshot_id"] is None) is (base is None)
        last = status

    for number in range(2):  # whatever is made once has been made
        await snapshot(number)
    before = traces(worker)
    for number in range(20):
        await snapshot(number)
    asked = time.time()
    code, out = await worker.run(machine, "date +%s.%N; cat /tmp/now")
    assert code == 0
    clock, seen = out.split()
    assert asked - 0.5 < float(clock) < time.time() + 0.5
    assert asked - int(seen) < 10  # programs go on as well
    after = traces(worker)
    memory, memory_after = before.pop("kib"), after.pop("kib")
    assert after == before
    assert memory_after < memory + 16 * 1024
    assert last is not None
    await worker.call("DELETE", f"/v1/machines/{machine}")
    copy = await worker.create(memory_mb=128, snapshot=source_of(last))
    assert await worker.run(copy, "cat /home/bunker/number") == (0, b"19\n")


Phase = Callable[[Path, Path], bool]
"""Whether a snapshot is in it, by the folder of what is under way and the one of what is stored."""

PHASES: dict[str, Phase] = {
    "capturing": lambda folder, _: (folder / "memory").exists() and not packed(folder),
    "packing": lambda folder, stored: packed(folder) and not stored.exists(),
    "storing": lambda _, stored: stored.exists() and not (stored / "manifest.json").exists(),
}


def packed(folder: Path) -> bool:
    """Whether any part is."""
    return any(folder.glob("*.zst"))


async def test_a_daemon_that_dies_over_a_snapshot_leaves_a_machine_that_goes_on(
    worker: WorkerProcess,
) -> None:
    machine = await worker.create()
    # Memory that takes its time, to be copied and to be packed.
    await worker.run(
        machine, "head -c 48M /dev/urandom > /dev/shm/x; sleep 1000 & echo $! > /tmp/p"
    )
    for name, phase in PHASES.items():
        await _killed_in(worker, machine, name, phase)
        await worker.start()
        status = await worker.until(machine, "running", "failed")
        assert status["state"] == "running", (name, status)
        code, out = await worker.run(machine, "cat /proc/$(cat /tmp/p)/comm; wc -c < /dev/shm/x")
        assert (code, out.split()) == (0, [b"sleep", str(48 * MIB).encode()]), name
        assert not list(worker.data_dir.glob("snapshots/*"))
        # Whoever clears away what begins with the snapshot's id misses nothing.
        names = [p.name for p in (worker.data_dir / "stored").glob("*")]
        assert all(n.startswith("snp_") for n in names), names
        assert not list((worker.data_dir / "stored").glob("*/manifest.json"))
    assert (await worker.snapshot(machine, "full"))["phase"] == "stored"


async def _killed_in(worker: WorkerProcess, machine: str, name: str, phase: Phase) -> None:
    """Have the daemon killed while a snapshot is in that phase. The phase may be over before the signal is
    there: then another one is begun."""
    for _ in range(5):
        snapshot_id = f"snp_{secrets.token_hex(6)}"
        folder = worker.data_dir / "snapshots" / snapshot_id
        stored = worker.data_dir / "stored" / snapshot_id
        order = {"snapshot_id": snapshot_id, "kind": "full"}
        await worker.call("POST", f"/v1/machines/{machine}/snapshot", json=order)
        deadline = time.monotonic() + 60
        while not phase(folder, stored) and not (stored / "manifest.json").exists():
            assert time.monotonic() < deadline, (name, list(folder.glob("*")))
            await asyncio.sleep(0.002)
        helpers = children(worker)
        await worker.kill()
        staying = {*worker.vmm_pids(), *worker.gateway_pids()}
        ended = {f"/proc/{pid}" for pid in helpers - staying}
        await until(lambda ended=ended: not any(Path(p).exists() for p in ended))
        if phase(folder, stored):
            return
        await worker.start()
        await worker.until(machine, "running")
        shutil.rmtree(stored, ignore_errors=True)
    raise AssertionError(f"no snapshot was met while it was {name}")


@pytest.fixture
async def cramped(tmp_path: Path, artifacts: Artifacts) -> AsyncIterator[WorkerProcess]:
    """A daemon whose machines lie on a small file system of their own."""
    process = WorkerProcess(tmp_path, artifacts, DISK_RESERVE_MB="16")
    process.data_dir.mkdir(mode=0o700)
    with tmpfs(process.data_dir / "machines", 160 * MIB):
        await process.start()
        try:
            yield process
        finally:
            for path in (process.data_dir / "machines").glob("others"):
                path.unlink()
            await process.take_down()


async def test_guests_that_a_full_disk_stops_go_on_when_there_is_room(
    cramped: WorkerProcess,
) -> None:
    machine = await cramped.create()
    (folder,) = (cramped.data_dir / "machines").iterdir()
    others = folder.parent / "others"
    fill(others)
    second = cramped.spec()
    async with await cramped.request(
        "PUT", f"/v1/machines/{second.bunker_id}", data=second.model_dump_json()
    ) as answer:
        assert answer.status == 409
        assert (await answer.json())["code"] == "WORKER_UNAVAILABLE"
    status = await cramped.snapshot(machine, "disk")
    assert status["phase"] == "failed"
    assert "No space left" in status["reason"]
    # Nothing is lost of what is written now: it waits.
    writing = asyncio.create_task(
        cramped.run(machine, "head -c 20M /dev/zero | tr '\\0' x > x && sync x && md5sum < x")
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            await asyncio.shield(writing)
    assert not writing.done()
    assert (await cramped.call("GET", f"/v1/machines/{machine}"))["state"] == "running"
    others.unlink()
    code, out = await asyncio.wait_for(writing, 60)
    assert code == 0
    assert (
        out.split()[0].decode() == hashlib.md5(b"x" * 20 * MIB, usedforsecurity=False).hexdigest()
    )
    asked = time.time()
    _, clock = await cramped.run(machine, "date +%s.%N")
    assert asked - 0.5 < float(clock) < time.time() + 0.5
