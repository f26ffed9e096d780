"""A command with one answer: runs it, gathers its output, tells how it ended."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from scaibunker.controller.relay.command import (
    GONE,
    Command,
    Relay,
    begin,
    broken_off,
    recorded,
    relayed,
)
from scaibunker.controller.relay.domain import Ending, Output
from scaibunker.controller.relay.frames import StreamBroken, ending_of, read_frames
from scaibunker.controller.relay.outputs import (
    Capture,
    captured,
    closing,
    object_key,
    output_ref,
)
from scaibunker.controller.relay.start import request_body
from scaibunker.controller.relay.text import encode_pair
from scaibunker.wire.api.execs import ExecRequest, ExecResult
from scaibunker.wire.guest.frames import Kind
from scaigrid.http.body import BodyAborted
from scaigrid.http.gone import until_gone
from scaigrid.operation import Operation

PATIENCE_S = 1.0
"""Commands shorter than this are not worth watching the caller's connection for."""


async def run(relay: Relay, op: Operation, bunker_id: str, body: ExecRequest) -> ExecResult:
    """Run a command to its end. Raises WorkerUnreachable if its end is not known."""
    data = request_body(body)
    command = await begin(relay, op, bunker_id, body)
    entry = command.entry
    ref = output_ref(entry.tenant_id, bunker_id, entry.id)
    stdout = Capture(relay.store, object_key(ref, "stdout"))
    stderr = Capture(relay.store, object_key(ref, "stderr"))
    with relay.activity.use(bunker_id):
        async with closing(stdout, stderr):
            ending = await _follow(relay, command, data, body.timeout_s, stdout, stderr)
        await recorded(relay, command)
    output = captured(stdout, stderr, ref)
    await relay.log.written(relay.log.end(entry.id, ending, output))
    return _result(entry.id, ending, stdout, stderr, output.ref)


async def _follow(
    relay: Relay,
    command: Command,
    data: object,
    timeout_s: float,
    stdout: Capture,
    stderr: Capture,
) -> Ending:
    limit = timeout_s + relay.settings.exec_grace_s
    try:
        async with (
            relayed(relay, command, data, timeout_s) as response,
            contextlib.aclosing(read_frames(response, limit)) as frames,
        ):
            async for frame in frames:
                if frame.kind is Kind.STDOUT:
                    await stdout.take(frame.payload)
                elif frame.kind is Kind.STDERR:
                    await stderr.take(frame.payload)
                elif frame.kind is Kind.EXIT:
                    return ending_of(frame)
                else:
                    raise StreamBroken("a part of its output was lost", started=True)
        raise StreamBroken("its worker said nothing", started=False)
    except StreamBroken as broken:
        relay.log.lose(command.entry.id, str(broken), captured(stdout, stderr, None))
        raise broken_off(command.entry.id, broken) from None
    except asyncio.CancelledError:
        relay.log.lose(command.entry.id, GONE, Output())
        raise


def _result(
    exec_id: str, ending: Ending, stdout: Capture, stderr: Capture, ref: str | None
) -> ExecResult:
    out, err, encoding = encode_pair(
        bytes(stdout.head),
        bytes(stderr.head),
        stdout_truncated=stdout.is_truncated,
        stderr_truncated=stderr.is_truncated,
    )
    return ExecResult(
        exec_id=exec_id,
        exit_code=ending.exit_code,
        signal=ending.signal,
        timed_out=ending.timed_out,
        duration_ms=ending.duration_ms,
        stdout=out,
        stderr=err,
        encoding=encoding,
        stdout_truncated=stdout.is_truncated,
        stderr_truncated=stderr.is_truncated,
        full_output_ref=ref,
    )


async def while_connected(
    request: Request, work: Callable[[], Awaitable[ExecResult]]
) -> ExecResult:
    """Run `work`, and break it off if the caller goes away meanwhile."""
    task = asyncio.ensure_future(work())
    try:
        await asyncio.wait((task,), timeout=PATIENCE_S)
        if not task.done():
            gone = asyncio.create_task(until_gone(request.receive))
            try:
                await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
        if not task.done():
            raise BodyAborted
        return await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
