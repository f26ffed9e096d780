"""Warm starts with real machines: what a template gives, what it must not give, and what is left of it."""

import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.artifacts.manifest import Artifacts
from tests.host.warm_starts import made, start_of, templates, until_made
from tests.host.worker_process import BOOT_LIMIT_S, WorkerProcess
from tests.waiting import until

ASK = (
    "date +%s.%N; cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id /run/scaibunker/generation;"
    " head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '; hostname; cat /etc/hostname; echo $WHO;"
    " df -m --output=size / | tail -1; nproc; ls /root | wc -l; ls /proc | grep -c '^[0-9]'"
)
UNIQUE = slice(1, 5)
"""Of the words of its answer: what no two machines may have in common."""


@pytest.fixture
async def warm(tmp_path: Path, artifacts: Artifacts) -> AsyncIterator[WorkerProcess]:
    """A daemon that makes templates."""
    process = WorkerProcess(tmp_path, artifacts, WARM_STARTS="true", WARM_SLOTS="1")
    await process.start()
    try:
        yield process
    finally:
        await process.take_down()
    assert process.leftovers() == []


async def test_machines_of_a_template_are_bunkers_of_their_own(warm: WorkerProcess) -> None:
    cold = await warm.create(disk_mb=64)
    assert await start_of(warm, cold) == "boot"
    await until_made(warm, "slot_ready", 1)
    assert len(templates(warm)) == 1

    # The first was prepared, the others are made of the template because none is prepared.
    machines = [
        await warm.create(hostname=f"box{n}", env={"WHO": f"me{n}"}, disk_mb=disk_mb)
        for n, disk_mb in enumerate((64, 1024, 64))
    ]
    drawn: list[bytes] = []
    for n, (machine, disk_mb) in enumerate(zip(machines, (64, 1024, 64), strict=True)):
        assert await start_of(warm, machine) == "template"
        asked = time.time()
        code, output = await warm.run(machine, ASK, user="root")
        assert code == 0
        words = output.split()
        assert asked - 0.5 < float(words[0]) < time.time() + 0.5
        box = f"box{n}".encode()
        hostname, etc_hostname, who, size, cpus, files, _processes = words[5:]
        assert (hostname, etc_hostname, who) == (box, box, f"me{n}".encode())
        assert disk_mb * 0.85 < int(size) <= disk_mb
        assert (cpus, files) == (b"1", b"0")
        drawn += words[UNIQUE]
        tokens = (await warm.run(machine, "cat /proc/cmdline", user="root"))[1]
        assert b"token" not in tokens
    assert len(set(drawn)) == len(drawn) == 12
    kept = "dd if=/dev/urandom of=/root/big bs=1M count=30 && sync && cat /root/big | wc -c"
    for machine in machines:  # each has a disk of its own
        assert await warm.run(machine, kept, user="root") == (0, b"31457280\n")
    snapshot = await warm.snapshot(machines[0], "full")
    assert snapshot["phase"] == "stored", snapshot


async def test_a_daemon_that_is_killed_leaves_bunkers_and_nothing_else(
    warm: WorkerProcess, tmp_path: Path
) -> None:
    await warm.create()
    await until(lambda: made_half(warm), BOOT_LIMIT_S, warm.log)
    await warm.kill()
    assert len(warm.vmm_pids()) == 2
    await warm.start()
    assert len(warm.vmm_pids()) == 1
    assert templates(warm) == []

    second = await warm.create()
    await until_made(warm, "slot_ready", 1)
    third = await warm.create()
    assert [await start_of(warm, m) for m in (second, third)] == ["boot", "template"]
    assert await warm.run(third, "echo kept > /root/file; sync", user="root") == (0, b"")
    await until_made(warm, "slot_ready", 2)
    await warm.kill()
    assert len(warm.vmm_pids()) == 4
    await warm.start()
    assert len(warm.vmm_pids()) == 3  # the one that was prepared is gone
    assert await warm.run(third, "cat /root/file", user="root") == (0, b"kept\n")
    fourth = await warm.create()
    assert await start_of(warm, fourth) == "template"  # of the same template
    assert made(warm, "template_built") == 1

    # Another agent: padding makes another file of it, and the kernel passes it over.
    changed = tmp_path / "initramfs"
    shutil.copyfile(warm.initramfs, changed)
    with changed.open("ab") as file:
        file.write(bytes(512))
    warm.settings["INITRAMFS"] = str(changed)
    await warm.kill()
    await warm.start()
    await until(lambda: templates(warm) == [], BOOT_LIMIT_S, warm.log)
    assert await start_of(warm, await warm.create()) == "boot"


def made_half(worker: WorkerProcess) -> bool:
    """Whether it is busy with a template, whose machine runs already."""
    return any(name.startswith(".") for name in templates(worker)) and len(worker.vmm_pids()) == 2


async def test_a_template_that_is_damaged_costs_a_cold_boot(warm: WorkerProcess) -> None:
    warm.settings["WARM_SLOTS"] = "0"
    await warm.create()
    await until_made(warm, "template_built", 1)
    await warm.kill()
    (name,) = templates(warm)
    memory = warm.data_dir / "templates/ready" / name / "memory"
    with memory.open("r+b") as file:
        file.seek(memory.stat().st_size // 2)
        file.write(b"\xff\x00\xff")
    await warm.start()
    machine = await warm.create()
    assert await start_of(warm, machine) == "boot"
    assert templates(warm) == []
    assert await warm.run(machine, "echo fine") == (0, b"fine\n")
