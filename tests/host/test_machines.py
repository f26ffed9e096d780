"""Machines of a real daemon: what they are inside, what limits hold, what is left of them."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from scaibunker.wire.guest.frames import Decoder, Kind
from tests.host.traces import cpu_ticks, traces
from tests.host.worker_process import WorkerProcess
from tests.waiting import until

TRIES = 3
"""How often something is done that a busy host may hold up once, and must be quick."""


async def test_a_machine_is_another_computer(worker: WorkerProcess) -> None:
    machine = await worker.create(hostname="bunker-one", env={"GREETING": "hello"})
    code, out = await worker.run(
        machine, 'uname -r; hostname; id -u; echo "$GREETING"; echo "$HOME"; ls /sys/class/net'
    )
    assert code == 0
    kernel, hostname, uid, greeting, home, *devices = out.decode().split()
    assert kernel != os.uname().release
    assert hostname == "bunker-one"
    assert (uid, greeting, home) == ("1000", "hello", "/home/bunker")
    assert devices == ["lo"]


async def test_two_machines_do_not_share_anything(worker: WorkerProcess) -> None:
    one, two = await asyncio.gather(worker.create(), worker.create())
    await worker.run(one, "echo secret > /tmp/mine; sleep 1000 & echo started")
    code, out = await worker.run(two, "cat /tmp/mine; pgrep -x sleep")
    assert code != 0
    assert out == b""
    uids = {Path(f"/proc/{pid}").stat().st_uid for pid in worker.vmm_pids()}
    assert len(uids) == 2
    assert 0 not in uids


@pytest.mark.parametrize("image", ["debian-12", "python-3.11"])
async def test_the_smallest_bunker_runs(worker: WorkerProcess, image: str) -> None:
    machine = await worker.create(image, memory_mb=64, disk_mb=64, cpu_millicores=100)
    code, out = await worker.run(machine, "echo small; awk '/MemTotal/ {print $2}' /proc/meminfo")
    assert code == 0
    name, total = out.split()
    assert name == b"small"
    assert 40_000 < int(total) < 90_000


async def test_the_vmm_is_confined(worker: WorkerProcess) -> None:
    await worker.create()
    (pid,) = worker.vmm_pids()
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert status["CapEff"] == "0" * 16
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    assert Path(f"/proc/{pid}/root").readlink() != Path("/")


async def test_killing_the_daemon_leaves_machines_and_their_processes_alone(
    worker: WorkerProcess,
) -> None:
    machine = await worker.create()
    await worker.run(machine, "sleep 1000 & echo $! > /tmp/pid")
    before = worker.vmm_pids()
    await worker.kill()
    assert worker.vmm_pids() == before
    await worker.start()
    assert (await worker.until(machine, "running", "failed"))["state"] == "running"
    code, out = await worker.run(machine, "cat /proc/$(cat /tmp/pid)/comm; cat /proc/uptime")
    assert code == 0
    assert out.startswith(b"sleep\n")
    assert worker.vmm_pids() == before


async def test_a_spooled_command_survives_its_daemon(worker: WorkerProcess) -> None:
    machine = await worker.create()
    path = f"/v1/machines/{machine}/execs/exe_{secrets.token_hex(8)}"
    command = "for i in $(seq 1 40); do echo line $i; sleep 0.1; done; exit 7"
    start = json.dumps({"shell": command, "timeout_s": 60}) + "\n"
    await worker.call("POST", path + "?mode=spool", data=start)

    async def speaks() -> bool:
        return bool((await worker.call("GET", path))["stdout_bytes"] >= 20)

    await until(speaks, 60)
    await worker.kill()
    await worker.start()
    await worker.until(machine, "running")
    async with await worker.request("GET", path + "/frames") as response:
        data = await response.read()
    frames = [f for f in Decoder().feed(data) if f.kind is not Kind.KEEPALIVE]
    output = b"".join(f.payload for f in frames if f.kind is Kind.STDOUT)
    assert output.decode().splitlines() == [f"line {i}" for i in range(1, 41)]
    assert frames[-1].json()["exit_code"] == 7


async def test_output_of_a_command_wakes_with_its_bunker(worker: WorkerProcess) -> None:
    """Frozen while it writes far more than the agent keeps, it goes on in another machine, and nothing is missing."""
    machine = await worker.create()
    path = f"/v1/machines/{machine}/execs/exe_{secrets.token_hex(8)}"
    command = "seq 1 200000; until [ -e /tmp/go ]; do sleep 0.1; done; seq 200001 300000; exit 7"
    start = json.dumps({"shell": command, "timeout_s": 600}) + "\n"
    await worker.call("POST", path + "?mode=spool", data=start)

    async def speaks() -> bool:
        return bool((await worker.call("GET", path))["stdout_bytes"] >= 400_000)

    await until(speaks, 60)
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "paused"})
    status = await worker.snapshot(machine, "full", keep_execs=True)
    assert status["phase"] == "stored", status
    await worker.call("DELETE", f"/v1/machines/{machine}")
    source = {k: status[k] for k in ("snapshot_id", "kind", "manifest_sha256")}
    assert machine == await worker.create(
        bunker_id=machine, snapshot={**source, "keep_execs": True}
    )
    await worker.run(machine, "touch /tmp/go")
    async with await worker.request("GET", path + "/frames") as response:
        data = await response.read()
    frames = [f for f in Decoder().feed(data) if f.kind is not Kind.KEEPALIVE]
    assert {f.kind for f in frames} == {Kind.STARTED, Kind.STDOUT, Kind.EXIT}
    output = b"".join(f.payload for f in frames if f.kind is Kind.STDOUT)
    assert output.split() == [str(i).encode() for i in range(1, 300_001)]
    assert frames[-1].json()["exit_code"] == 7


async def test_a_killed_vmm_is_noticed_within_a_second(worker: WorkerProcess) -> None:
    for _ in range(TRIES):
        machine = await worker.create()
        (pid,) = worker.vmm_pids()
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        status = await worker.until(machine, "failed")
        took_s = time.monotonic() - killed
        if took_s < 1:
            break
    assert took_s < 1
    assert "killed by SIGKILL" in status["reason"]
    assert not (worker.data_dir / "machines" / machine / "upper.ext4").exists()
    async with await worker.request("GET", f"/v1/machines/{machine}/files/stat?path=/") as answer:
        assert answer.status == 409
        assert (await answer.json())["code"] == "BUNKER_NOT_RUNNING"


async def test_a_guest_that_powers_off_says_so(worker: WorkerProcess) -> None:
    machine = await worker.create()
    with contextlib.suppress(AssertionError, aiohttp.ClientError):
        await worker.run(
            machine, "echo last words > /dev/ttyS0; echo o > /proc/sysrq-trigger", user="root"
        )
    status = await worker.until(machine, "failed")
    assert "the guest powered off" in status["reason"]
    assert "last words" in status["console_tail"]


async def test_a_paused_machine_uses_no_cpu_and_goes_on(worker: WorkerProcess) -> None:
    machine = await worker.create()
    await worker.run(machine, "(while :; do echo tick >> /tmp/ticks; done) & echo ok")
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "paused"})
    (pid,) = worker.vmm_pids()
    before = cpu_ticks(pid)
    await asyncio.sleep(1)
    assert cpu_ticks(pid) - before <= 2
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "running"})
    _, first = await worker.run(machine, "wc -l < /tmp/ticks")
    asked = time.time()
    _, clock = await worker.run(machine, "date +%s.%N")
    assert asked - 0.5 < float(clock) < time.time() + 0.5
    _, second = await worker.run(machine, "wc -l < /tmp/ticks")
    assert 0 < int(first) < int(second)


async def test_fifty_pauses_leave_no_trace(worker: WorkerProcess) -> None:
    machine = await worker.create()
    # It writes down the largest step that it sees its clock make from one turn to the next.
    await worker.run(
        machine,
        "(b=$(date +%s); s=0; while sleep 0.02; do n=$(date +%s); [ $((n-b)) -lt 0 ] && s=1; b=$n;"
        " echo $s $n > /tmp/c; mv /tmp/c /tmp/clock; done) & until [ -e /tmp/clock ]; do sleep 0.1; done",
    )

    async def pause_and_resume() -> None:
        for state in ("paused", "running"):
            await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": state})

    await pause_and_resume()  # whatever is made once has been made
    before = traces(worker)
    for _ in range(50):
        await pause_and_resume()
    asked = time.time()
    code, out = await worker.run(machine, "date +%s.%N; cat /tmp/clock")
    assert code == 0
    clock, went_back, seen = out.split()
    assert asked - 0.5 < float(clock) < time.time() + 0.5
    assert went_back == b"0"
    assert asked - int(seen) < 10  # programs go on as well
    after = traces(worker)
    memory, memory_after = before.pop("kib"), after.pop("kib")
    assert after == before
    assert memory_after < memory + 16 * 1024


async def test_a_machine_paused_while_its_daemon_died_can_be_resumed(worker: WorkerProcess) -> None:
    machine = await worker.create()
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "paused"})
    await worker.kill()
    await worker.start()
    await worker.until(machine, "paused")
    await worker.call("PUT", f"/v1/machines/{machine}/power", json={"state": "running"})
    code, _ = await worker.run(machine, "true")
    assert code == 0


async def test_a_snapshot_interrupts_a_machine_for_a_moment(worker: WorkerProcess) -> None:
    machine = await worker.create()
    await worker.run(machine, "echo kept > /home/bunker/file; sleep 1000 & echo $! > /tmp/pid")
    # The daemon dies over the first one: nothing is left of it, and the machine goes on.
    order = {"snapshot_id": "snp_killed", "kind": "full"}
    await worker.call("POST", f"/v1/machines/{machine}/snapshot", json=order)
    await worker.kill()
    await worker.start()
    await worker.until(machine, "running", "failed")
    assert not list(worker.data_dir.glob("snapshots/*"))
    sources = {}
    for kind in ("disk", "full"):
        status = await worker.snapshot(machine, kind)
        sources[kind] = {k: status[k] for k in ("snapshot_id", "kind", "manifest_sha256")}
        assert status["phase"] == "stored", status
        asked = time.time()
        code, out = await worker.run(machine, "date +%s.%N; cat /proc/$(cat /tmp/pid)/comm")
        assert code == 0
        clock, comm = out.split()
        assert asked - 0.5 < float(clock) < time.time() + 0.5
        assert comm == b"sleep"
    assert not list(worker.data_dir.glob("snapshots/*"))
    assert len(list(worker.data_dir.glob("stored/*/*"))) == 7
    await worker.call("DELETE", f"/v1/machines/{machine}")
    await machines_of_snapshots(worker, sources)


async def machines_of_snapshots(worker: WorkerProcess, sources: dict[str, dict[str, str]]) -> None:
    look = "hostname; cat /home/bunker/file; date +%s.%N; cat /run/scaibunker/generation"
    # With its memory: what ran goes on, in a machine of another name.
    copy = await worker.create(hostname="copy", snapshot=sources["full"])
    asked = time.time()
    code, out = await worker.run(copy, f"{look}; cat /proc/$(cat /tmp/pid)/comm")
    assert code == 0
    name, kept, clock, generation, comm = out.split()
    assert (name, kept, comm) == (b"copy", b"kept", b"sleep")
    assert asked - 0.5 < float(clock) < time.time() + 0.5
    # The channel has a token of its own by now, and the next daemon knows it.
    await worker.kill()
    await worker.start()
    await worker.until(copy, "running", "failed")
    code, out = await worker.run(copy, "cat /run/scaibunker/generation")
    assert (code, out.strip()) == (0, generation)
    # The disk alone boots, and has grown.
    size = "stat -f -c '%b %S' /"
    _, small = await worker.run(copy, size)
    fresh = await worker.create(hostname="fresh", disk_mb=384, snapshot=sources["disk"])
    code, out = await worker.run(fresh, f"{look}; {size}; pgrep -x sleep")
    assert code == 1  # nothing of before runs
    name, kept, _, other, blocks, block_size = out.split()
    assert (name, kept) == (b"fresh", b"kept")
    assert other != generation
    blocks_small, size_small = map(int, small.split())
    assert int(blocks) * int(block_size) > blocks_small * size_small + (100 << 20)
    # One bit, and it is refused.
    stored = worker.data_dir / "stored" / sources["full"]["snapshot_id"] / "memory.zst"
    data = bytearray(stored.read_bytes())
    data[1000] ^= 1
    stored.write_bytes(data)
    spec = worker.spec(snapshot=sources["full"])
    await worker.call("PUT", f"/v1/machines/{spec.bunker_id}", data=spec.model_dump_json())
    status = await worker.until(spec.bunker_id, "running", "failed")
    assert "not what was stored" in (status["reason"] or "")


async def test_a_fork_bomb_does_not_silence_the_agent(worker: WorkerProcess) -> None:
    machine = await worker.create()
    await worker.exec_frames(machine, "bomb() { bomb | bomb & }; bomb", timeout_s=5)
    async with asyncio.timeout(60):
        code, out = await worker.run(machine, "echo alive", user="root")
    assert (code, out) == (0, b"alive\n")


async def test_a_hungry_program_dies_and_the_agent_lives(worker: WorkerProcess) -> None:
    machine = await worker.create(memory_mb=128)
    frames = await worker.exec_frames(
        machine, "tail -c 1G /dev/zero | wc -c; x=$(head -c 500M /dev/zero | tr '\\0' x)"
    )
    assert frames[-1].kind is Kind.EXIT
    code, _ = await worker.run(machine, "true")
    assert code == 0


async def test_a_full_disk_is_told_and_can_be_mended(worker: WorkerProcess) -> None:
    machine = await worker.create(disk_mb=64)
    url = f"/v1/machines/{machine}/files?path=/home/bunker/big"
    async with await worker.request("PUT", url, data=b"x" * (100 << 20)) as answer:
        assert answer.status == 507
        assert (await answer.json())["code"] == "FILE_NO_SPACE"
    code, out = await worker.run(machine, "ls -A /home/bunker; echo fits > /home/bunker/small")
    assert code == 0
    assert b"big" not in out


async def test_binary_output_and_large_input_arrive_intact(worker: WorkerProcess) -> None:
    machine = await worker.create()
    blob = os.urandom(10 << 20)
    code, out = await worker.run(machine, "cat", stdin=blob)
    assert code == 0
    assert out == blob


async def test_a_caller_that_goes_away_ends_the_process_group(worker: WorkerProcess) -> None:
    machine = await worker.create()
    task = asyncio.create_task(worker.run(machine, "echo $$ > /tmp/p; sleep 300 | cat"))

    async def sleeps() -> bool:
        return (await worker.run(machine, "test -s /tmp/p && pgrep -x sleep"))[0] == 0

    async def is_over() -> bool:
        return (await worker.run(machine, "pgrep -x sleep"))[0] != 0

    await until(sleeps, 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(is_over, 30)


async def test_what_no_machine_owns_is_removed_at_the_next_start(worker: WorkerProcess) -> None:
    await worker.create()
    await worker.kill()
    (folder,) = (worker.data_dir / "machines").iterdir()
    (folder / "machine.json").write_text("{half a rec")
    await worker.start()
    assert worker.vmm_pids() == []
    assert worker.leftovers() == []


async def test_an_order_that_cannot_be_done_leaves_nothing(worker: WorkerProcess) -> None:
    spec = worker.spec(image_sha256="ab" * 32)
    await worker.call("PUT", f"/v1/machines/{spec.bunker_id}", data=spec.model_dump_json())
    status = await worker.until(spec.bunker_id, "failed")
    assert "is not on this worker" in status["reason"]
    await worker.call("DELETE", f"/v1/machines/{spec.bunker_id}")
    assert worker.leftovers() == []


@pytest.mark.parametrize("bunker_id", ["../../etc", "bnk_", "bnk_a/b", "bnk_ä"])
async def test_ids_cannot_be_paths(worker: WorkerProcess, bunker_id: str) -> None:
    spec = worker.spec(bunker_id=bunker_id)
    async with await worker.request(
        "PUT", "/v1/machines/bnk_abcd1234", data=spec.model_dump_json()
    ) as answer:
        assert answer.status == 422


async def test_without_the_token_nothing_is_answered(worker: WorkerProcess) -> None:
    async with await worker.request(
        "GET", "/v1/machines", headers={"Authorization": "Bearer wrong"}
    ) as answer:
        assert answer.status == 401
