"""Commands with one answer, when worker, stream or caller breaks: a loss is told, and never an exit code."""

import asyncio

import pytest
from aiohttp import web

from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Kind, encode, encode_json
from tests.integration.commands import Output, hanging, vanish
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of, until_caller_is_missed
from tests.waiting import until


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
