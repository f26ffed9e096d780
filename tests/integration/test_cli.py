"""The command line, as a process of its own, against a real controller."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import BINARY, hanging, pausing, speak
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack
from tests.waiting import until


@dataclass
class Shell:
    """Starts command lines with the key of `who`."""

    stack: Stack
    who: str = "user"

    async def start(self, *argv: str, stdin: int = DEVNULL) -> Process:
        environ = {
            **os.environ,
            "SCAIGRID_HOST": str(self.stack.client.base_url),
            "SCAIGRID_API_KEY": self.stack.keys[self.who],
        }
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scaibunker.cli.main", *argv),
            env=environ,
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def __call__(self, *argv: str, stdin: bytes | None = None) -> tuple[int, bytes, str]:
        process = await self.start(*argv, stdin=DEVNULL if stdin is None else PIPE)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        assert self.stack.keys[self.who] not in err.decode()
        return process.returncode, out, err.decode()

    async def json(self, *argv: str) -> Any:
        code, out, err = await self("--json", *argv)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def shell(stack: Stack) -> Shell:
    return Shell(stack)


async def test_run(shell: Shell, worker: SimulatedWorker) -> None:
    worker.commands[""] = speak
    code, out, err = await shell("run", "debian-12", "--", "speak", stdin=b"from here")
    assert (code, out, err) == (3, BINARY, "from here")
    [record] = await shell.json("bunker", "ls", "--all")
    assert record["status"] == "terminated"
    assert await shell.json("bunker", "ls") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_command_and_the_bunker(
    shell: Shell, worker: SimulatedWorker, number: signal.Signals
) -> None:
    worker.commands[""] = hanging(b"started")
    process = await shell.start("run", "debian-12", "--", "sleep", "forever")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.read(7) == b"started"
        process.send_signal(number)
        assert await process.wait() == 128 + number
    [record] = await shell.json("bunker", "ls", "--all")
    assert record["status"] == "terminated"


async def test_a_bunker_that_stays(shell: Shell, worker: SimulatedWorker, tmp_path: Path) -> None:
    code, out, _ = await shell("bunker", "create", "debian-12", "--name", "box")
    assert code == 0
    bunker = out.decode().strip()
    worker.commands[""] = speak
    assert (await shell("exec", "box", "--", "speak"))[:2] == (3, BINARY)
    result = json.loads((await shell("exec", "box", "--json", "--", "speak"))[1])
    assert (result["exit_code"], result["bunker_id"]) == (3, bunker)

    (tmp_path / "project" / "sub").mkdir(parents=True)
    (tmp_path / "project" / "sub" / "a").write_bytes(BINARY)
    assert (await shell("cp", "-r", str(tmp_path / "project"), "box:"))[0] == 0
    assert (await shell("cp", "-r", "box:project", str(tmp_path / "copy")))[0] == 0
    assert (tmp_path / "copy" / "sub" / "a").read_bytes() == BINARY
    assert (await shell("cp", "-", "box:/tmp/x", stdin=BINARY))[0] == 0
    assert (await shell("cp", "box:/tmp/x", "-"))[1] == BINARY
    assert (await shell("cp", "box:/nothing", str(tmp_path)))[0] == 3

    assert (await shell("bunker", "pause", "box"))[0] == 0
    assert (await shell("bunker", "pause", "box"))[0] == 5
    code, _, err = await shell("exec", "box", "--", "speak")
    assert (code, "BUNKER_NOT_RUNNING" in err) == (125, True)
    assert (await shell("bunker", "resume", "box"))[0] == 0
    assert (await shell.json("bunker", "show", bunker))["name"] == "box"
    assert (await shell("bunker", "rm", "box"))[0] == 0
    assert (await shell("bunker", "rm", bunker))[0] == 0
    assert (await shell("bunker", "rm", "box"))[0] == 3


async def test_detached_commands(shell: Shell, worker: SimulatedWorker) -> None:
    go_on = asyncio.Event()

    worker.commands[""] = pausing(go_on, b"first ", b"second", 4)
    bunker = (await shell.json("bunker", "create", "debian-12"))["id"]
    exec_id = (await shell.json("exec", bunker, "--detach", "--", "slow"))["exec_id"]
    assert (await shell("bunker", "signal", bunker, exec_id, "-s", "SIGUSR1"))[0] == 0
    assert worker.machines[bunker].execs[exec_id].signals == ["SIGUSR1"]
    process = await shell.start("bunker", "attach", bunker, exec_id)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.read(6) == b"first "
        go_on.set()
        assert await process.stdout.read() == b"second"
        assert await process.wait() == 4
    [record] = await shell.json("bunker", "execs", bunker)
    assert (record["exec_id"], record["command"]) == (exec_id, ["slow"])


async def test_snapshots(shell: Shell, worker: SimulatedWorker) -> None:
    bunker = (await shell.json("bunker", "create", "debian-12", "--name", "box"))["id"]
    code, out, err = await shell("bunker", "snapshot", "box", "--name", "s", "--expires-in", "1h")
    assert code == 0, err
    made = await shell.json("snapshot", "show", "s")
    assert (made["id"], made["kind"]) == (out.decode().strip(), "disk")
    assert (made["status"], made["bunker_id"]) == ("ready", bunker)
    assert await shell.json("snapshot", "ls", "--bunker", "box", "--kind", "disk") == [made]

    worker.commands[""] = speak
    code, out, err = await shell("run", "--snapshot", "s", "--", "speak", stdin=b"from here")
    assert (code, out, err) == (3, BINARY, "from here")

    assert (await shell("bunker", "rm", "--snapshot", "--kind", "full", bunker))[:2] == (
        0,
        f"{bunker}\n".encode(),
    )
    [last] = await shell.json("snapshot", "ls", "--bunker", bunker, "--kind", "full")
    assert last["status"] == "ready"
    assert await shell.json("bunker", "ls") == []
    assert await shell.json("snapshot", "rm", "s") == [made]
    assert (await shell("run", "--snapshot", made["id"], "--", "speak"))[0] == 125


async def test_a_snapshot_that_fails(shell: Shell, worker: SimulatedWorker) -> None:
    worker.snapshots.fault = "no room"
    bunker = (await shell.json("bunker", "create", "debian-12"))["id"]
    code, out, err = await shell("bunker", "snapshot", bunker, "--json")
    assert (code, out) == (9, b"")
    assert "no room" in json.loads(err)["error"]["message"]
    assert (await shell("bunker", "rm", "--snapshot", bunker))[0] == 5
    assert (await shell.json("bunker", "show", bunker))["status"] == "running"


async def test_live_input(shell: Shell, worker: SimulatedWorker) -> None:
    ended = asyncio.Event()
    worker.commands[""] = pausing(ended, b"ready")
    bunker = (await shell.json("bunker", "create", "debian-12"))["id"]
    process = await shell.start("exec", bunker, "-i", "--", "cat", stdin=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.read(5) == b"ready"  # although its input has not ended
        process.stdin.write(BINARY)
        process.stdin.close()
        [run] = worker.machines[bunker].execs.values()
        await until(lambda: run.fed == BINARY)
        ended.set()
        assert await process.wait() == 0


async def test_refusals(shell: Shell, stack: Stack) -> None:
    code, out, err = await shell("bunker", "create", "debian-12", "--memory", "900G", "--json")
    error = json.loads(err)["error"]
    assert (code, out, error["code"]) == (2, b"", "VALIDATION_ERROR")
    assert error["details"][0]["field"] == "memory_mb"
    assert error["request_id"]
    assert (await shell("bunker", "create", "nosuch"))[0] == 3
    assert (await shell("bunker", "create", "debian-12", "--network", "unrestricted"))[0] == 4
    assert (await shell("bunker", "show", "bnk_nosuch"))[0] == 3
    assert (await shell("worker", "ls"))[0] == 4
    assert len(await Shell(stack, "super_admin").json("worker", "ls")) == 1
    assert [image["name"] for image in await shell.json("image", "ls")] == ["debian-12"]


async def test_quotas(stack: Stack, shell: Shell) -> None:
    admin = Shell(stack, "tenant_admin")
    me = await stack.data_of("GET", "/v1/me")
    code, out, err = await admin("quota", "create", "small", "--bunkers", "1", "--memory", "4G")
    assert code == 0, err
    given = await admin.json("quota", "assign", "small", "--user", me["user_id"])
    assert given["profile_id"] == out.decode().strip()
    assert (await shell("bunker", "create", "debian-12", "--no-wait"))[0] == 0
    code, _, err = await shell("bunker", "create", "debian-12", "--no-wait")
    assert code == 8
    assert "BUNKER_QUOTA_EXCEEDED" in err
    [row] = await shell.json("quota", "usage")
    assert (row["bucket"], row["remaining"]["concurrent_bunkers"]) == (f"user:{me['user_id']}", 0)
    changed = await admin.json("quota", "set", "small", "--bunkers", "none")
    assert (changed["max_concurrent_bunkers"], changed["max_memory_mb"]) == (None, 4096)
    assert await admin.json("quota", "unassign", "small", "--user", me["user_id"]) == given
    assert await admin.json("quota", "rm", "small") == [changed]
    assert (await shell("quota", "ls"))[0] == 4


async def test_a_platforms_administrator_makes_a_default_only_when_it_says_so(
    stack: Stack,
) -> None:
    operator = Shell(stack, "super_admin")
    made = await operator.json("quota", "create", "mine")
    assert made["tenant_id"] == (await stack.data_of("GET", "/v1/me", "super_admin"))["tenant_id"]
    assert (await operator.json("quota", "create", "mine", "--platform"))["tenant_id"] is None


async def test_workers(stack: Stack, shell: Shell) -> None:
    operator = Shell(stack, "super_admin")
    [worker] = await operator.json("worker", "ls")
    [drained] = await operator.json("worker", "drain", worker["name"])
    assert (drained["id"], drained["takes_bunkers"]) == (worker["id"], False)
    assert (await shell("bunker", "create", "debian-12", "--no-wait"))[0] == 6
    assert (await operator.json("worker", "show", worker["id"]))["draining"]
    [resumed] = await operator.json("worker", "resume", worker["id"])
    assert resumed["takes_bunkers"]
    assert (await shell("worker", "drain", worker["id"]))[0] == 4
