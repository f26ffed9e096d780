"""Commands whose output comes as events, and commands that are detached."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Kind, encode_json
from scaibunker.wire.worker.machines import ExecStatus
from tests.integration.commands import Output, hanging, pausing, saying, vanish
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import BASE, Stack, error_of, events_of, until_caller_is_missed
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until


def streaming(stack: Stack, bunker: str, command: str) -> Any:
    return stack.client.stream(
        "POST",
        f"{BASE}/bunkers/{bunker}/exec",
        json={"command": command, "stream": True},
        headers=stack.headers(),
    )


async def gather(response: httpx.Response) -> list[tuple[str, Any]]:
    return [
        (name, data if data == "[DONE]" else json.loads(data))
        async for name, data in events_of(response)
    ]


async def test_output_comes_as_it_is_made(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    go_on = asyncio.Event()

    async def two_parts(_: ExecStart, output: Output) -> None:
        await output.out(b"first\n")
        await go_on.wait()
        await output.err(b"second\n")
        await output.exit(7)

    worker.commands["two"] = two_parts
    seen: list[tuple[str, Any]] = []
    async with streaming(stack, bunker, "two") as response:
        assert response.status_code == 200
        async for name, data in events_of(response):
            seen.append((name, data if data == "[DONE]" else json.loads(data)))
            if name == "stdout":
                go_on.set()  # the first part is here although the command still runs
    [exec_id] = worker.machines[bunker].execs
    assert seen == [
        ("started", {"exec_id": exec_id}),
        ("stdout", {"data": "first\n", "encoding": "utf-8"}),
        ("stderr", {"data": "second\n", "encoding": "utf-8"}),
        (
            "exit",
            {
                "exec_id": exec_id,
                "exit_code": 7,
                "signal": None,
                "timed_out": False,
                "duration_ms": 3,
            },
        ),
        ("message", "[DONE]"),
    ]
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert (entry["state"], entry["exit_code"]) == ("exited", 7)
    assert entry["output_preview"] == "first\nsecond\n"


async def test_bytes_arrive_intact_whatever_they_are(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    chunks = [b"a\xc3", b"\xa4b", b"\xff\xfe", b"ok", "€".encode()[:2]]

    async def emit(_: ExecStart, output: Output) -> None:
        for chunk in chunks:
            await output.out(chunk)
            await asyncio.sleep(0.02)
        await output.exit(0)

    worker.commands["emit"] = emit
    async with streaming(stack, bunker, "emit") as response:
        events = await gather(response)
    received = b""
    for name, data in events:
        if name == "stdout":
            raw = data["data"]
            received += raw.encode() if data["encoding"] == "utf-8" else base64.b64decode(raw)
    assert received == b"".join(chunks)
    assert ("stdout", {"data": "äb", "encoding": "utf-8"}) in events


async def test_a_stream_that_breaks_ends_with_an_error(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["x"] = vanish
    async with streaming(stack, bunker, "x") as response:
        events = await gather(response)
    assert [name for name, _ in events] == ["started", "stdout", "error", "message"]
    assert events[2][1]["code"] == "WORKER_UNREACHABLE"
    assert events[3][1] == "[DONE]"
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs")
    assert (entry["state"], entry["exit_code"]) == ("lost", None)


async def test_what_is_wrong_before_the_stream_has_a_status(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    body = {"command": "x", "stream": True}
    missing = await stack.call("POST", "/bunkers/bnk_nope/exec", json=body)
    assert error_of(missing) == (404, "BUNKER_NOT_FOUND")
    await worker.stop()
    dead = await stack.call("POST", f"/bunkers/{bunker}/exec", json=body)
    assert error_of(dead) == (502, "WORKER_UNREACHABLE")


async def test_a_caller_that_goes_away_ends_the_command(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["silent"] = hanging()
    async with streaming(stack, bunker, "silent") as response:
        async for name, _ in events_of(response):
            assert name == "started"
            break
    [sent] = worker.machines[bunker].execs.values()
    await until(lambda: sent.cancelled)
    await until_caller_is_missed(stack, bunker)


async def test_a_server_that_stops_says_so_to_its_streams(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    worker.commands["silent"] = hanging()
    async with streaming(stack, bunker, "silent") as response:
        events = events_of(response)
        assert (await anext(events))[0] == "started"
        stopping = asyncio.create_task(stack.stop())
        name, data = await anext(events)
        assert (name, json.loads(data)["code"]) == ("error", "SERVER_STOPPING")
    await asyncio.wait_for(stopping, 60)


async def test_a_fast_command_waits_for_a_slow_reader(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    sent = 0

    async def flood(_: ExecStart, output: Output) -> None:
        nonlocal sent
        for _n in range(2000):
            await output.out(b"z" * 65536)
            sent += 65536
        await output.exit(0)

    worker.commands["flood"] = flood
    async with streaming(stack, bunker, "flood") as response:
        events = events_of(response)
        assert (await anext(events))[0] == "started"
        before = -1
        while before != sent:  # until nothing moves any more: everybody waits for us
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 64 * 2**20


async def test_a_detached_command_runs_on(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    go_on = asyncio.Event()

    worker.commands["slow"] = pausing(go_on, b"begun\n", b"done\n", 4)
    path = f"/bunkers/{bunker}"
    response = await stack.call("POST", f"{path}/exec", json={"command": "slow", "detach": True})
    assert response.status_code == 202
    started = response.json()["data"]
    assert (started["state"], started["detach"], started["exit_code"]) == ("running", True, None)
    one = f"{path}/execs/{started['exec_id']}"
    [sent] = worker.machines[bunker].execs.values()
    assert (sent.mode, sent.start.stdin) == ("spool", "open")
    await until(lambda: bool(sent.frames))
    assert (await stack.data_of("GET", one))["output_preview"] == "begun\n"

    following = asyncio.create_task(stack.call("GET", f"{one}/events"))
    await stack.data_of("POST", f"{one}/signal", json={"signal": "SIGTERM"})
    await stack.data_of("POST", f"{one}/stdin", json={"data": "more", "eof": True})
    assert (sent.signals, sent.fed) == (["SIGTERM"], b"more")
    go_on.set()
    followed = (await asyncio.wait_for(following, 60)).text
    assert followed.index("begun") < followed.index("done") < followed.index('"exit_code":4')
    assert followed.endswith("data: [DONE]\n\n")

    ended = await stack.data_of("GET", one)
    assert (ended["state"], ended["exit_code"]) == ("exited", 4)
    late = await stack.call("POST", f"{one}/signal", json={"signal": "SIGTERM"})
    assert error_of(late) == (409, "EXEC_NOT_RUNNING")
    output = await stack.call("GET", f"{one}/output", params={"stream": "stdout"})
    assert output.content == b"begun\ndone\n"
    again = await stack.call("GET", f"{one}/events")
    assert "begun" in again.text


async def test_the_end_of_a_detached_command_is_reported_by_heartbeat(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    path = f"/bunkers/{bunker}"
    started = await stack.data_of("POST", f"{path}/exec", json={"command": "quick", "detach": True})
    [sent] = worker.machines[bunker].execs.values()
    await sent.ended.wait()
    worker.finished = [
        worker_status(bunker, started["exec_id"], sent.exit.model_dump() if sent.exit else None)
    ]
    await worker.beat(stack.client)
    assert worker.finished == []
    [entry] = await stack.data_of("GET", f"{path}/execs")
    assert (entry["state"], entry["exit_code"]) == ("exited", 0)


def worker_status(bunker: str, exec_id: str, end: dict[str, Any] | None) -> ExecStatus:
    return ExecStatus.model_validate(
        {"bunker_id": bunker, "exec_id": exec_id, "running": False, "exit": end}
    )


async def test_output_that_nobody_waited_for_outlives_the_bunker(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    whole = b"line\n" * 100_000
    worker.commands["write"] = saying(whole, b"short")
    path = f"/bunkers/{bunker}"
    started = await stack.data_of("POST", f"{path}/exec", json={"command": "write", "detach": True})
    one = f"{path}/execs/{started['exec_id']}"
    [sent] = worker.machines[bunker].execs.values()
    await sent.ended.wait()
    report = worker_status(
        bunker, started["exec_id"], sent.exit.model_dump() if sent.exit else None
    )
    worker.finished = [report.model_copy(update={"stdout_bytes": len(whole)})]
    await worker.beat(stack.client)

    async def kept() -> bool:
        return (await stack.data_of("GET", one))["full_output_ref"] is not None

    await until(kept)
    await stack.data_of("DELETE", path)
    assert (await stack.call("GET", f"{one}/output")).content == whole
    short = await stack.call("GET", f"{one}/output", params={"stream": "stderr"})
    assert short.content == b"short"
    assert (await stack.data_of("GET", one))["output_preview"].startswith("line\nline")


async def test_a_gap_in_the_spool_is_told(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def gappy(_: ExecStart, output: Output) -> None:
        await output.raw(encode_json(Kind.GAP, {"bytes": 12}))
        await output.out(b"rest")
        await output.exit(0)

    worker.commands["gappy"] = gappy
    path = f"/bunkers/{bunker}"
    started = await stack.data_of("POST", f"{path}/exec", json={"command": "gappy", "detach": True})
    response = await stack.call("GET", f"{path}/execs/{started['exec_id']}/events")
    assert 'event: gap\ndata: {"bytes":12}' in response.text


async def test_a_command_that_was_not_detached_cannot_be_followed(
    stack: Stack, bunker: str
) -> None:
    result = await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    response = await stack.call("GET", f"/bunkers/{bunker}/execs/{result['exec_id']}/events")
    assert error_of(response) == (409, "EXEC_NOT_RUNNING")


@ONE_DATABASE
@pytest.mark.parametrize(
    ("verb", "body"),
    [("signal", {"signal": "9"}), ("signal", {}), ("stdin", {}), ("stdin", {"data_base64": "*"})],
)
async def test_bad_signals_and_stdin_are_refused(
    stack: Stack, bunker: str, verb: str, body: dict[str, str]
) -> None:
    result = await stack.data_of(
        "POST", f"/bunkers/{bunker}/exec", json={"command": "x", "detach": True}
    )
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/execs/{result['exec_id']}/{verb}", json=body
    )
    assert error_of(response) == (422, "VALIDATION_ERROR")
