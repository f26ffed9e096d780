"""Commands with one answer: what the worker is sent, what comes back, and what is logged and kept."""

import asyncio
import base64

import pytest
from aiohttp import web
from sqlalchemy import select

from scaibunker.controller.relay.tables import execs
from scaibunker.wire.guest.execs import ExecStart
from tests.integration.commands import Output, saying
from tests.integration.inside import whole
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of

INLINE = 256 * 1024


async def test_a_command_answers_with_its_output_and_end(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["both"] = saying(b"to out\n", b"to err\n", 3)
    result = await stack.run(bunker, "both")
    exec_id = result.pop("exec_id")
    assert isinstance(exec_id, str)
    assert exec_id.startswith("exe_")
    assert result == {
        "exit_code": 3,
        "signal": None,
        "timed_out": False,
        "duration_ms": 3,
        "stdout": "to out\n",
        "stderr": "to err\n",
        "encoding": "utf-8",
        "stdout_truncated": False,
        "stderr_truncated": False,
        "full_output_ref": None,
    }
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert (entry["exec_id"], entry["state"], entry["exit_code"]) == (exec_id, "exited", 3)
    assert entry["output_preview"] == "to out\nto err\n"
    assert entry["command"] == "both"
    assert await stack.data_of("GET", f"/bunkers/{bunker}/execs/{exec_id}") == entry


async def test_what_the_worker_is_sent(stack: Stack, worker: SimulatedWorker, bunker: str) -> None:
    await stack.run(
        bunker,
        ["ls", "-l"],
        env={"X": "ü"},
        cwd="/tmp",
        user="root",
        timeout_s=7,
        stdin="hallo",
    )
    [sent] = worker.machines[bunker].execs.values()
    assert sent.start == ExecStart(
        argv=["ls", "-l"], env={"X": "ü"}, cwd="/tmp", user="root", timeout_s=7, stdin="body"
    )
    assert (sent.mode, sent.stdin) == ("relay", b"hallo")
    await stack.run(bunker, "true")
    assert list(worker.machines[bunker].execs.values())[1].start.stdin == "none"


async def test_large_stdin_arrives_whole(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB
    await stack.run(bunker, "cat", stdin_base64=base64.b64encode(data).decode())
    [sent] = worker.machines[bunker].execs.values()
    assert sent.stdin == data


@pytest.mark.parametrize("stream", ["out", "err"])
async def test_binary_output_is_base64_in_both_streams(
    stack: Stack, worker: SimulatedWorker, bunker: str, stream: str
) -> None:
    binary = bytes(range(256))
    said = [binary, b"plain"] if stream == "out" else [b"plain", binary]
    worker.commands["emit"] = saying(*said)
    result = await stack.run(bunker, "emit")
    assert result["encoding"] == "base64"
    decoded = [base64.b64decode(str(result[name])) for name in ("stdout", "stderr")]
    assert decoded == ([binary, b"plain"] if stream == "out" else [b"plain", binary])


async def test_a_character_split_over_frames_is_whole(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def split(_: ExecStart, output: Output) -> None:
        for byte in "aß€😀".encode():
            await output.out(bytes([byte]))
        await output.exit(0)

    worker.commands["split"] = split
    result = await stack.run(bunker, "split")
    assert (result["stdout"], result["encoding"]) == ("aß€😀", "utf-8")


@pytest.mark.parametrize(("size", "truncated"), [(INLINE, False), (INLINE + 1, True)])
async def test_the_inline_limit_is_exact(
    stack: Stack, worker: SimulatedWorker, bunker: str, size: int, truncated: bool
) -> None:
    worker.commands["emit"] = saying(b"x" * size)
    result = await stack.run(bunker, "emit")
    assert result["stdout"] == "x" * INLINE
    assert result["stdout_truncated"] is truncated
    assert (result["full_output_ref"] is not None) is truncated


async def test_large_output_is_kept_whole(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    whole = "ä€".encode() * 4_000_000  # 20 MB; the inline limit falls into a character

    async def emit(_: ExecStart, output: Output) -> None:
        await output.err(b"short")
        await output.out(whole)
        await output.exit(0)

    worker.commands["emit"] = emit
    result = await stack.run(bunker, "emit")
    assert result["encoding"] == "utf-8"
    head = str(result["stdout"]).encode()
    assert INLINE - 3 <= len(head) <= INLINE
    assert whole.startswith(head)
    assert (result["stdout_truncated"], result["stderr_truncated"]) == (True, False)
    path = f"/bunkers/{bunker}/execs/{result['exec_id']}/output"
    stored = await stack.call("GET", path, params={"stream": "stdout"})
    assert stored.content == whole
    assert stored.headers["content-length"] == str(len(whole))
    part = await stack.call("GET", path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    tail = await stack.call("GET", path, headers={"Range": "bytes=-7"})
    assert tail.content == whole[-7:]
    beyond = await stack.call("GET", path, headers={"Range": f"bytes={len(whole)}-"})
    assert error_of(beyond) == (416, "RANGE_NOT_SATISFIABLE")
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"
    assert (await stack.call("GET", path, params={"stream": "stderr"})).content == b"short"


async def test_a_store_that_fails_costs_the_object_and_not_the_command(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["emit"] = saying(b"x" * 10_000_000, code=3)
    objects = stack.data / "objects"
    objects.rmdir()
    objects.write_text("in the way")
    result = await stack.run(bunker, "emit")
    assert (result["exit_code"], result["stdout_truncated"]) == (3, True)
    assert result["full_output_ref"] is None
    response = await stack.call("GET", f"/bunkers/{bunker}/execs/{result['exec_id']}/output")
    assert error_of(response) == (404, "OBJECT_NOT_FOUND")


async def test_output_that_is_not_kept_says_so(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["emit"] = saying(b"y" * 5000)
    medium = await stack.run(bunker, "emit")
    short = await stack.run(bunker, "short")
    path = f"/bunkers/{bunker}/execs"
    response = await stack.call("GET", f"{path}/{medium['exec_id']}/output")
    assert error_of(response) == (404, "OBJECT_NOT_FOUND")
    response = await stack.call("GET", f"{path}/{short['exec_id']}/output")
    assert (response.status_code, response.content) == (200, b"short")


async def test_a_signal_and_a_timeout_are_told_apart(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def killed(_: ExecStart, output: Output) -> None:
        await output.exit(None, signal="SIGSEGV")

    async def late(_: ExecStart, output: Output) -> None:
        await output.out(b"so far")
        await output.exit(None, signal="SIGKILL", timed_out=True)

    worker.commands.update({"killed": killed, "late": late})
    result = await stack.run(bunker, "killed")
    assert (result["exit_code"], result["signal"], result["timed_out"]) == (None, "SIGSEGV", False)
    result = await stack.run(bunker, "late")
    assert (result["exit_code"], result["timed_out"], result["stdout"]) == (None, True, "so far")


async def test_many_commands_at_once(stack: Stack, bunker: str) -> None:
    results = await asyncio.gather(*(stack.run(bunker, f"c{n}") for n in range(40)))
    assert [r["stdout"] for r in results] == [f"c{n}" for n in range(40)]
    entries = await stack.data_of("GET", f"/bunkers/{bunker}/execs", params={"limit": 100})
    assert {e["state"] for e in entries} == {"exited"}
    assert len(entries) == 40


async def test_the_log_outlives_the_bunker(stack: Stack, bunker: str) -> None:
    await stack.run(bunker, "once")
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert entry["command"] == "once"


async def test_connections_to_a_worker_are_used_again(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    ports: set[int] = set()

    async def note(request: web.Request) -> None:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])

    worker.faults[f"POST /v1/machines/{bunker}/execs"] = note
    for _ in range(20):
        await stack.run(bunker, "x")
    assert len(ports) <= 2


@pytest.mark.parametrize("stream", [False, True])
async def test_what_its_caller_is_told_is_durable(
    stack: Stack, worker: SimulatedWorker, bunker: str, stream: bool
) -> None:
    """Another replica's log has it, though nobody has asked this one to write what it still holds."""
    worker.commands["seven"] = saying(b"x", b"", 7)
    body = {"command": "seven", "stream": stream}
    exit_codes: list[int | None] = []
    async with stack.opened("POST", f"/bunkers/{bunker}/exec", json=body) as response:
        async for line in response.aiter_lines():
            if '"exit_code"' in line:
                async with stack.grid.database.read() as db:
                    exit_codes += await db.values(whole(select(execs.c.exit_code)))
    assert exit_codes == [7]
