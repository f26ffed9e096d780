"""Commands that run on when their caller has its answer: start, follow, signal, feed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from scaibunker.controller.bunkers.errors import BunkerNotRunning
from scaibunker.controller.relay.command import Relay, asked, begin, not_started, unreachable
from scaibunker.controller.relay.domain import Ending, ExecEntry, ExecState
from scaibunker.controller.relay.errors import ExecNotFound, ExecNotRunning, translate
from scaibunker.controller.relay.exec_log import reported_output
from scaibunker.controller.relay.frames import StreamBroken, read_frames
from scaibunker.controller.relay.outputs import StreamName
from scaibunker.controller.relay.start import request_body, stdin_bytes
from scaibunker.controller.relay.stream import Running, Teller
from scaibunker.controller.relay.target import Target, exists, running, woken
from scaibunker.controller.workers.client import WorkerSilent
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.wire.api.execs import ExecRequest, SignalRequest, StdinRequest
from scaibunker.wire.guest.frames import Frame, Kind
from scaigrid.errors import ValidationFailed
from scaigrid.http.sse import Event
from scaigrid.operation import Operation


async def start(relay: Relay, op: Operation, bunker_id: str, body: ExecRequest) -> ExecEntry:
    """Start a command; returns its log entry when it runs. Raises what `plain.run` raises."""
    data = request_body(body)
    command = await begin(relay, op, bunker_id, body)
    await relay.log.durable(command.recorded)  # before it starts: nobody waits for its end
    entry = command.entry
    try:
        await relay.client.spool(command.target.address, bunker_id, entry.id, data)
    except (WorkerSilent, WorkerRefused) as error:
        raise not_started(relay, command, error) from None
    except asyncio.CancelledError:
        relay.log.lose(entry.id, "its caller went away while it started", entry.output)
        raise
    relay.activity.touch(bunker_id)
    return entry


async def find(relay: Relay, op: Operation, bunker_id: str, exec_id: str) -> ExecEntry:
    """A command's log entry. Raises BunkerNotFound, ExecNotFound."""
    entry = await relay.log.get(op, bunker_id, exec_id)
    if entry is None:
        await exists(op, relay.database, bunker_id)
        raise ExecNotFound
    return entry


async def refresh(relay: Relay, op: Operation, entry: ExecEntry) -> ExecEntry:
    """The entry with what its worker knows now, if it can be asked."""
    if not entry.detach or entry.state is not ExecState.RUNNING:
        return entry
    try:
        target = await running(op, relay.database, entry.bunker_id)
        status = await relay.client.exec_status(target.address, entry.bunker_id, entry.id)
    except (WorkerUnreachable, WorkerRefused, BunkerNotRunning):
        return entry
    if status is None:
        return entry
    if status.exit is not None:
        relay.log.end(entry.id, Ending(**status.exit.model_dump()), reported_output(status))
        return await find(relay, op, entry.bunker_id, entry.id)
    return replace(entry, output=reported_output(status))


async def follow(relay: Relay, op: Operation, bunker_id: str, exec_id: str) -> Running:
    """A detached command's events from its start to its end. Going away does not end it."""
    entry = await find(relay, op, bunker_id, exec_id)
    target = await _of_detached(relay, op, entry)
    held = contextlib.AsyncExitStack()
    frames = await held.enter_async_context(
        spooled(relay, target, entry, _time_left(op, relay, entry))
    )
    return Running(_events(entry, frames), held)


async def _events(
    entry: ExecEntry, frames: AsyncGenerator[Frame, None]
) -> AsyncGenerator[Event, None]:
    try:
        async with contextlib.aclosing(Teller(entry.id).events(frames)) as events:
            async for event in events:
                yield event
    except StreamBroken as broken:
        raise unreachable(entry.id, str(broken), "It may go on; follow it again.") from None


async def spooled_output(
    relay: Relay,
    op: Operation,
    entry: ExecEntry,
    stream: StreamName,
    held: contextlib.AsyncExitStack,
) -> AsyncGenerator[bytes, None]:
    """One stream of a detached command from its worker, to its end."""
    target = await woken(op, relay.database, relay.awake, entry.bunker_id)
    frames = await held.enter_async_context(
        spooled(relay, target, entry, _time_left(op, relay, entry))
    )
    wanted = Kind.STDOUT if stream == "stdout" else Kind.STDERR

    async def chunks() -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(frames):
            async for frame in frames:
                if frame.kind is wanted:
                    yield frame.payload

    return chunks()


async def send_signal(
    relay: Relay, op: Operation, bunker_id: str, exec_id: str, body: SignalRequest
) -> None:
    """Signal a command's process group. Raises ExecNotRunning if it has ended."""
    entry = await find(relay, op, bunker_id, exec_id)
    target = await _running(relay, op, entry)
    await _post(relay, target, entry, "signal", body.model_dump_json())


async def send_stdin(
    relay: Relay, op: Operation, bunker_id: str, exec_id: str, body: StdinRequest
) -> None:
    """Feed a detached command's standard input. Raises ExecNotRunning if it has ended."""
    if body.data is not None and body.data_base64 is not None:
        raise ValidationFailed.of("data", "data and data_base64 exclude each other")
    data = stdin_bytes(body.data, body.data_base64, "data") or b""
    if not data and not body.eof:
        raise ValidationFailed.of("data", "or eof must be given")
    entry = await find(relay, op, bunker_id, exec_id)
    target = await _running(relay, op, entry)
    query = "?eof=true" if body.eof else ""
    # It is taken when the command reads it, which may be as late as its end.
    await _post(relay, target, entry, f"stdin{query}", data, _time_left(op, relay, entry))


async def _post(
    relay: Relay,
    target: Target,
    entry: ExecEntry,
    what: str,
    data: str | bytes,
    within_s: float | None = None,
) -> None:
    relay.activity.touch(entry.bunker_id)
    path = f"/v1/machines/{entry.bunker_id}/execs/{entry.id}/{what}"
    try:
        await relay.client.post(target.address, path, data, within_s)
    except WorkerRefused as refusal:
        raise translate(refusal) from None


async def _running(relay: Relay, op: Operation, entry: ExecEntry) -> Target:
    if entry.state is ExecState.EXITED:
        raise ExecNotRunning("The command has ended.")
    return await woken(op, relay.database, relay.awake, entry.bunker_id)


async def _of_detached(relay: Relay, op: Operation, entry: ExecEntry) -> Target:
    if not entry.detach:
        raise ExecNotRunning(
            "The command was not detached: its output went to the caller that started it."
        )
    return await woken(op, relay.database, relay.awake, entry.bunker_id)


def _time_left(op: Operation, relay: Relay, entry: ExecEntry) -> float:
    """Seconds until the command must have ended; enough to read what there is if it has."""
    left = (entry.deadline_at - op.now()).total_seconds()
    return max(left, relay.settings.file_idle_timeout_s)


@contextlib.asynccontextmanager
async def spooled(
    relay: Relay, target: Target, entry: ExecEntry, limit_s: float
) -> AsyncIterator[AsyncGenerator[Frame, None]]:
    """The frames that a worker keeps of a command, from the first to the last."""
    path = f"/execs/{entry.id}/frames"
    within_s = relay.settings.exec_grace_s
    async with asked(relay, "GET", target, path, answer_within_s=within_s) as response:
        yield read_frames(response, limit_s)
