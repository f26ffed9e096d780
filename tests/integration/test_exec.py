"""Commands with one answer: what comes back, what is logged, what happens when things break."""

import asyncio
import base64
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select

from scaibunker.controller.relay import exec_log
from scaibunker.controller.relay.tables import execs
from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Kind, encode, encode_json
from scaibunker.wire.worker.machines import ExecStatus
from scaigrid.db import Database
from tests.integration.commands import Output, hanging, saying, vanish
from tests.integration.inside import whole
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of, fields_of, until_caller_is_missed
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until

INLINE = 256 * 1024


async def run(stack: Stack, bunker_id: str, **body: object) -> dict[str, object]:
    result: dict[str, object] = await stack.data_of("POST", f"/bunkers/{bunker_id}/exec", json=body)
    return result


async def test_a_command_answers_with_its_output_and_end(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["both"] = saying(b"to out\n", b"to err\n", 3)
    result = await run(stack, bunker, command="both")
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
    await run(
        stack,
        bunker,
        command=["ls", "-l"],
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
    await run(stack, bunker, command="true")
    assert list(worker.machines[bunker].execs.values())[1].start.stdin == "none"


async def test_large_stdin_arrives_whole(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB
    await run(stack, bunker, command="cat", stdin_base64=base64.b64encode(data).decode())
    [sent] = worker.machines[bunker].execs.values()
    assert sent.stdin == data


async def test_stdin_beyond_the_limit_is_refused(stack: Stack, bunker: str) -> None:
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/exec", json={"command": "cat", "stdin": "x" * (16 * 2**20 + 1)}
    )
    assert error_of(response) == (413, "PAYLOAD_TOO_LARGE")
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/exec", content=b'{"command": "' + b"x" * (27 * 2**20) + b'"}'
    )
    assert error_of(response) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("stream", ["out", "err"])
async def test_binary_output_is_base64_in_both_streams(
    stack: Stack, worker: SimulatedWorker, bunker: str, stream: str
) -> None:
    binary = bytes(range(256))
    said = [binary, b"plain"] if stream == "out" else [b"plain", binary]
    worker.commands["emit"] = saying(*said)
    result = await run(stack, bunker, command="emit")
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
    result = await run(stack, bunker, command="split")
    assert (result["stdout"], result["encoding"]) == ("aß€😀", "utf-8")


@pytest.mark.parametrize(("size", "truncated"), [(INLINE, False), (INLINE + 1, True)])
async def test_the_inline_limit_is_exact(
    stack: Stack, worker: SimulatedWorker, bunker: str, size: int, truncated: bool
) -> None:
    worker.commands["emit"] = saying(b"x" * size)
    result = await run(stack, bunker, command="emit")
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
    result = await run(stack, bunker, command="emit")
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
    assert (await stack.call("GET", path, params={"stream": "stderr"})).content == b"short"


async def test_a_store_that_fails_costs_the_object_and_not_the_command(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["emit"] = saying(b"x" * 10_000_000, code=3)
    objects = stack.data / "objects"
    objects.rmdir()
    objects.write_text("in the way")
    result = await run(stack, bunker, command="emit")
    assert (result["exit_code"], result["stdout_truncated"]) == (3, True)
    assert result["full_output_ref"] is None
    response = await stack.call("GET", f"/bunkers/{bunker}/execs/{result['exec_id']}/output")
    assert error_of(response) == (404, "OBJECT_NOT_FOUND")


async def test_output_that_is_not_kept_says_so(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["emit"] = saying(b"y" * 5000)
    medium = await run(stack, bunker, command="emit")
    short = await run(stack, bunker, command="short")
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
    result = await run(stack, bunker, command="killed")
    assert (result["exit_code"], result["signal"], result["timed_out"]) == (None, "SIGSEGV", False)
    result = await run(stack, bunker, command="late")
    assert (result["exit_code"], result["timed_out"], result["stdout"]) == (None, True, "so far")


async def end_quietly(_: ExecStart, output: Output) -> None:
    await output.out(b"partial")


async def garbage(_: ExecStart, output: Output) -> None:
    await output.raw(b"\x99\xff\xff\xff\xff garbage")


async def half_frame(_: ExecStart, output: Output) -> None:
    await output.raw(encode(Kind.EXIT, b'{"exit_code": 0}')[:-3])


async def empty_end(_: ExecStart, output: Output) -> None:
    await output.raw(encode_json(Kind.EXIT, {}))


async def null_end(_: ExecStart, output: Output) -> None:
    await output.exit(None)


async def no_json(_: ExecStart, output: Output) -> None:
    await output.raw(encode(Kind.EXIT, b"\xff\xfe"))


async def told_error(_: ExecStart, output: Output) -> None:
    await output.error("GUEST_UNREACHABLE", "the agent does not answer")


async def huge_frame(_: ExecStart, output: Output) -> None:
    await output.raw(b"\x01\x7f\xff\xff\xff")


BROKEN = [
    vanish,
    end_quietly,
    garbage,
    half_frame,
    empty_end,
    null_end,
    no_json,
    told_error,
    huge_frame,
]


@pytest.mark.parametrize("behaviour", BROKEN, ids=lambda b: b.__name__)
async def test_a_stream_that_breaks_is_an_error_and_never_an_exit_code(
    stack: Stack, worker: SimulatedWorker, bunker: str, behaviour: object
) -> None:
    worker.commands["x"] = behaviour  # type: ignore[assignment]
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    message = response.json()["error"]["message"]
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert entry["exec_id"] in message
    assert "It had started." in message
    assert (entry["state"], entry["exit_code"], entry["signal"]) == ("lost", None, None)
    assert entry["error"]


async def test_the_workers_report_corrects_a_lost_command(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["x"] = vanish
    await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    worker.finished = [
        ExecStatus.model_validate(
            {
                "bunker_id": bunker,
                "exec_id": entry["exec_id"],
                "running": False,
                "exit": {"exit_code": 5, "signal": None, "timed_out": False, "duration_ms": 9},
                "stdout_bytes": 7,
                "stdout_preview": "partial",
            }
        )
    ]
    answer = await worker.beat(stack.client)
    assert answer.acknowledged_execs == [entry["exec_id"]]
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert (entry["state"], entry["exit_code"], entry["error"]) == ("exited", 5, None)
    assert entry["output_preview"] == "partial"


async def test_a_report_about_a_command_that_has_ended_changes_nothing(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    result = await run(stack, bunker, command="fine")
    report = {
        "bunker_id": bunker,
        "running": False,
        "exit": {"exit_code": 99, "signal": None, "timed_out": False, "duration_ms": 1},
    }
    worker.finished = [
        ExecStatus.model_validate({**report, "exec_id": result["exec_id"]}),
        ExecStatus.model_validate({**report, "exec_id": "exe_unknown"}),
    ]
    answer = await worker.beat(stack.client)
    assert set(answer.acknowledged_execs) == {result["exec_id"], "exe_unknown"}
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert entry["exit_code"] == 0


def reported(bunker_id: str, exec_id: str) -> ExecStatus:
    """A worker's word that a command has ended well."""
    end = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1}
    report = {"bunker_id": bunker_id, "exec_id": exec_id, "running": False, "exit": end}
    return ExecStatus.model_validate(report)


async def test_however_many_ends_a_worker_reports_they_are_looked_up_together(
    stack: Stack, worker: SimulatedWorker, bunker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.commands["x"] = vanish
    await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    read, reads = Database._read, 0

    async def counting(self: Database, work: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(self, work)

    monkeypatch.setattr(Database, "_read", counting)
    unknown = [f"exe_unknown{n}" for n in range(5000)]
    worker.finished = [reported(bunker, entry["exec_id"])] * 5000
    worker.finished += [reported(bunker, exec_id) for exec_id in unknown]
    answer = await worker.beat(stack.client)
    assert sorted(answer.acknowledged_execs) == sorted([entry["exec_id"], *unknown])
    assert reads < 1000  # others read in the background
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert (entry["state"], entry["exit_code"]) == ("exited", 0)


async def test_ends_for_which_there_was_no_time_are_left_for_the_next_report(
    stack: Stack, worker: SimulatedWorker, bunker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_log, "TAKEN_AT_ONCE", 2)
    monkeypatch.setattr(exec_log, "TAKE_S", 0.0)
    worker.commands["x"] = vanish
    for _ in range(3):
        await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    log = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    worker.finished = [reported(bunker, entry["exec_id"]) for entry in log]
    assert len((await worker.beat(stack.client)).acknowledged_execs) == 2
    assert len((await worker.beat(stack.client)).acknowledged_execs) == 1
    log = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert [entry["state"] for entry in log] == ["exited"] * 3


async def test_a_worker_that_is_not_there_means_it_has_not_run(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    await worker.stop()
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    assert "It has not run." in response.json()["error"]["message"]
    assert "127.0.0.1" not in response.text


async def test_a_worker_that_takes_the_command_and_dies_means_it_may_have_run(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def drop(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    worker.faults[f"POST /v1/machines/{bunker}/execs"] = drop
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    assert "It may have run." in response.json()["error"]["message"]


async def test_a_refusal_of_the_worker_is_translated(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def refuse_it(_: web.Request) -> web.StreamResponse:
        return refuse(409, "BUNKER_NOT_RUNNING", "the machine is building")

    worker.faults[f"POST /v1/machines/{bunker}/execs"] = refuse_it
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert error_of(response) == (409, "BUNKER_NOT_RUNNING")
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert entry["state"] == "lost"
    assert "not started" in entry["error"]


async def test_a_caller_that_goes_away_ends_the_command(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["forever"] = hanging()
    call = asyncio.create_task(
        stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "forever"})
    )
    await until(lambda: bool(worker.machines[bunker].execs))
    call.cancel()
    [sent] = worker.machines[bunker].execs.values()
    await until(lambda: sent.cancelled)
    await until_caller_is_missed(stack, bunker)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "command"),
        ({"command": ""}, "command"),
        ({"command": []}, "command"),
        ({"command": "a\0b"}, "command"),
        ({"command": "x", "timeout_s": 0}, "timeout_s"),
        ({"command": "x", "timeout_s": 86401}, "timeout_s"),
        ({"command": "x", "cwd": "relative"}, "cwd"),
        ({"command": "x", "user": "mallory"}, "user"),
        ({"command": "x", "env": {"A=B": "x"}}, "env"),
        ({"command": "x", "env": {"A": "x\0"}}, "env"),
        ({"command": "x", "stdin_base64": "***"}, "stdin_base64"),
        ({"command": "x", "stdin": "a", "stdin_base64": "YQ=="}, "body"),
        ({"command": "x", "stream": True, "detach": True}, "body"),
        ({"command": "x", "bogus": 1}, "bogus"),
    ],
)
async def test_a_bad_request_names_its_field(
    stack: Stack, worker: SimulatedWorker, bunker: str, body: dict[str, object], field: str
) -> None:
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json=body)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert any(name.split(".")[0] == field for name in fields_of(response))
    assert worker.machines[bunker].execs == {}


async def test_a_refusal_never_repeats_values(stack: Stack, bunker: str) -> None:
    secret = "hunter2-very-secret"
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/exec", json={"command": "x", "env": {"A": secret + "\0"}}
    )
    assert response.status_code == 422
    assert secret not in response.text


async def test_many_commands_at_once(stack: Stack, bunker: str) -> None:
    results = await asyncio.gather(*(run(stack, bunker, command=f"c{n}") for n in range(40)))
    assert [r["stdout"] for r in results] == [f"c{n}" for n in range(40)]
    entries = await stack.data_of("GET", f"/bunkers/{bunker}/execs", params={"limit": 100})
    assert {e["state"] for e in entries} == {"exited"}
    assert len(entries) == 40


async def test_an_unknown_command_is_not_found(stack: Stack, bunker: str) -> None:
    path = f"/bunkers/{bunker}/execs/exe_nope"
    assert error_of(await stack.call("GET", path)) == (404, "EXEC_NOT_FOUND")
    assert error_of(await stack.call("GET", f"{path}/output")) == (404, "EXEC_NOT_FOUND")
    other = "/bunkers/bnk_nope/execs/exe_nope"
    assert error_of(await stack.call("GET", other)) == (404, "BUNKER_NOT_FOUND")


async def test_the_log_outlives_the_bunker(stack: Stack, bunker: str) -> None:
    await run(stack, bunker, command="once")
    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert entry["command"] == "once"


@pytest.mark.parametrize(
    ("command", "field", "message"),
    [
        (5, "command", "must be a string or a list of strings"),
        (None, "command", "must be a string or a list of strings"),
        (["a", 3], "command.1", "Input should be a valid string"),
        (["a\0"], "command.0", "must not contain a NUL character"),
        ("x" * 131_072, "command", "at most 131071 bytes; put longer scripts in a file"),
    ],
)
async def test_what_is_wrong_with_a_command_is_said_plainly(
    stack: Stack, bunker: str, command: object, field: str, message: str
) -> None:
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": command})
    assert error_of(response) == (422, "VALIDATION_ERROR")
    [entry] = response.json()["error"]["details"]
    assert (entry["field"], entry["message"]) == (field, message)


async def test_connections_to_a_worker_are_used_again(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    ports: set[int] = set()

    async def note(request: web.Request) -> None:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])

    worker.faults[f"POST /v1/machines/{bunker}/execs"] = note
    for _ in range(20):
        await run(stack, bunker, command="x")
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
