"""What a VMM driver promises, held by real machines: saving one, and going on elsewhere."""

import asyncio
import dataclasses
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.templates.memory import new_memory, seal
from scaibunker.worker.vmm.port import GuestMemory, VmmHandle
from tests.host.bench import Bench, content, copy_disk, ignore, run


async def test_copies_of_a_machine_become_machines_of_their_own(bench: Bench) -> None:
    """What programs of a copy see: nothing, until it is another machine."""
    first = bench.config("first")
    handle, agent = await bench.boot(first)
    await agent.set_identity("first", {"NAME": "first"}, generation="life-1")
    await run(
        agent,
        "(while sleep 0.1; do date +%s.%N > /run/t; mv /run/t /run/now; done) &"
        " until [ -e /run/now ]; do sleep 0.1; done",
    )
    still = await agent.hold(freeze_disk=False, limit_s=60, timeout_s=20)
    assert still
    await handle.pause()
    state = bench.folder / "state"
    with state.open("wb") as target:
        await handle.save(target.fileno(), ignore)
    draw = "cat /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '"
    drawn: list[bytes] = []
    for name in ("second", "third"):
        config = bench.config(name)
        restored = await bench.restore(config, state, first.upper_disk)
        await restored.resume()
        other = await bench.agent(restored, first.token_hex)
        before = await content(other, "/run/now")
        assert before == await content(other, "/run/now")  # the loop stands still
        await other.set_identity(
            name,
            {"NAME": name},
            generation=f"life-{name}",
            token_hex=config.token_hex,
            disown_execs=True,
        )
        asked = time.time()
        out = await run(
            other,
            f"date +%s.%N; {draw}; hostname; cat /etc/hostname; echo $NAME;"
            " cat /run/scaibunker/generation; until [ $(cut -d. -f1 /run/now) -ge $(date +%s) ];"
            " do sleep 0.1; done; echo alive",
        )
        clock, uuid, random, *rest = out.split()
        assert asked - 0.5 < float(clock) < time.time() + 0.5
        assert rest == [*[name.encode()] * 3, f"life-{name}".encode(), b"alive"]
        drawn += [uuid, random]
        assert (await other.execs())[1:] == []  # ours alone: those of the former life are nobody's
        other.link.close()
        assert (
            await run(await bench.agent(restored, config.token_hex), "hostname")
            == name.encode() + b"\n"
        )
        await restored.stop()
    assert len(set(drawn)) == 4

    # The first wakes up as it was, and its disk alone is a whole file system while it is frozen.
    await handle.resume()
    await agent.release()
    await run(agent, "echo kept > /root/file")
    assert await agent.hold(freeze_disk=True, limit_s=60, timeout_s=20)
    copy = bench.folder / "copy.ext4"
    shutil.copyfile(first.upper_disk, copy)
    checked = await asyncio.create_subprocess_exec(
        "e2fsck", "-fn", str(copy), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await checked.communicate()
    assert checked.returncode == 0, said
    assert b"recovering journal" not in said
    assert await agent.hold(freeze_disk=True, limit_s=0.2, timeout_s=20)
    # It goes on by itself when nobody ends it.
    assert await run(agent, "echo more >> /root/file; cat /root/file") == b"kept\nmore\n"


async def test_machines_of_one_memory_file_have_their_own_memory_and_disk(bench: Bench) -> None:
    """A template, and what is made of it: copies that share its pages and nothing else."""
    memory = new_memory(256)
    first = dataclasses.replace(bench.config("first"), memory=GuestMemory(memory, shared=True))
    handle, agent = await bench.boot(first, growing=True)
    await run(agent, "echo everywhere > /root/file")
    assert await agent.hold(freeze_disk=False, limit_s=60, timeout_s=20)
    await handle.pause()
    devices = bench.folder / "devices"
    with devices.open("wb") as target:
        await handle.save_devices(target.fileno())
    assert devices.stat().st_size < 4 << 20  # no memory in it
    with pytest.raises(OSError, match="busy"):
        seal(memory)  # it is still the guest's
    await handle.stop()
    seal(memory)
    with pytest.raises(PermissionError):
        os.pwrite(memory, b"changed", 0)

    draw = "cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '"
    drawn: list[bytes] = []
    for name, disk_mb in (("second", 64), ("fourth", 10_000)):
        config = dataclasses.replace(bench.config(name), memory=GuestMemory(memory, shared=False))
        restored = await bench.restore(config, devices, first.upper_disk)
        await restored.resize_disk(disk_mb)
        await restored.resume()
        other = await bench.agent(restored, first.token_hex)
        await other.set_identity(
            name, {}, generation=name, token_hex=config.token_hex, disk_mb=disk_mb
        )
        assert config.upper_disk.stat().st_size == disk_mb << 20
        out = await run(other, f"{draw}; hostname; df -m --output=size / | tail -1; cat /root/file")
        *random, hostname, size, file = out.split()
        assert (hostname, file) == (name.encode(), b"everywhere")
        assert disk_mb * 0.85 < int(size) <= disk_mb
        drawn += random
        await run(
            other, f"echo {name} > /root/file; dd if=/dev/zero of=/root/full bs=1M count=40; sync"
        )
        if disk_mb > 64:
            await run(other, "dd if=/dev/zero of=/root/more bs=1M count=100; sync")
        await restored.pause()
        assert 0 < await restored.memory_taken_mb() < 400
    assert len(set(drawn)) == len(drawn)
    await e2fsck(config.upper_disk)

    # One of them can be saved as any other machine, and restored where there is no such file.
    state = bench.folder / "state"
    with state.open("wb") as target:
        await restored.save(target.fileno(), ignore)
    fifth = bench.config("fifth")
    again = await bench.restore(fifth, state, config.upper_disk)
    await again.resume()
    assert await run(await bench.agent(again, config.token_hex), "cat /root/file") == b"fourth\n"
    os.close(memory)


async def e2fsck(disk: Path) -> None:
    """Of a disk whose machine stands still: its journal is replayed on a copy."""
    copy = disk.with_name("checked.ext4")
    await copy_disk(disk, copy)
    checked = await asyncio.create_subprocess_exec(
        "e2fsck", "-fp", str(copy), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await checked.communicate()
    assert checked.returncode in (0, 1), said


async def test_a_saved_machine_goes_on_twice(bench: Bench) -> None:
    first = bench.config("first")
    handle, agent = await bench.boot(first)
    with pytest.raises(WorkerFault, match="only a paused machine"):
        await handle.save(0, ignore)
    await run(
        agent,
        "echo kept > /root/file; sync; (while sleep 0.1; do date > /run/alive; done)"
        " >/dev/null 2>&1 & echo $! > /run/pid",
    )
    await handle.pause()
    state = bench.folder / "state"
    seen: list[int] = []
    with state.open("wb") as target:
        await handle.save(target.fileno(), lambda done, _all: seen.append(done))
    assert await handle.is_paused()
    assert seen == sorted(seen)
    assert state.stat().st_size < 200 << 20  # zeroed pages take nothing

    second = bench.config("second")
    restored = await bench.restore(second, state, first.upper_disk)
    assert await restored.is_paused()
    await restored.resume()
    other = await bench.agent(restored, first.token_hex)
    out = await run(
        other,
        "cat /root/file; rm -f /run/alive; until [ -e /run/alive ]; do sleep 0.1; done;"
        " cat /proc/$(cat /run/pid)/comm",
    )
    assert out.split() == [b"kept", b"sh"]
    status = Path(f"/proc/{restored.process.pid}/status").read_text()
    assert f"Uid:\t{second.uid}" in status
    assert "Seccomp:\t2" in status

    # The first goes on as if nothing had been, each on its own disk, and can be saved again and again.
    await handle.resume()
    await run(agent, "echo mine > /root/file; sync")
    assert await run(other, "cat /root/file") == b"kept\n"
    await handle.pause()
    for _ in range(2):
        with state.open("wb") as target:
            await handle.save(target.fileno(), ignore)
    await handle.resume()
    assert await run(agent, "cat /root/file") == b"mine\n"

    await a_state_that_is_not_whole_is_refused(bench, state, first.upper_disk)
    await saves_that_break_off_do_no_harm(handle, agent)


async def a_state_that_is_not_whole_is_refused(bench: Bench, state: Path, disk: Path) -> None:
    os.truncate(state, state.stat().st_size // 2)
    config = bench.config("third")
    with pytest.raises(WorkerFault, match="QEMU said: "):
        await bench.restore(config, state, disk)
    assert not any(str(config.run_dir) in line for line in _command_lines())


async def saves_that_break_off_do_no_harm(handle: VmmHandle, agent: GuestAgent) -> None:
    await handle.pause()
    reader, writer = socket.socketpair()
    with reader, writer:
        # Nobody reads: the save waits, until it is cancelled.
        saving = asyncio.create_task(handle.save(writer.fileno(), ignore))
        assert await asyncio.to_thread(reader.recv, 4)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
    with Path("/dev/full").open("wb") as full, pytest.raises(WorkerFault, match="QEMU has failed"):
        await handle.save(full.fileno(), ignore)
    assert await handle.is_paused()
    await handle.abandon_save()
    await handle.resume()
    assert await run(agent, "cat /root/file") == b"mine\n"


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(errors="replace"))
        except OSError:  # it has just ended
            continue
    return lines
