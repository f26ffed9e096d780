"""Reading the exec log, and the output that is kept."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from scaibunker.controller.objects.errors import ObjectNotFound, told
from scaibunker.controller.relay import detached
from scaibunker.controller.relay.bytestream import ByteStream
from scaibunker.controller.relay.command import Relay
from scaibunker.controller.relay.domain import ExecEntry, ExecState
from scaibunker.controller.relay.outputs import StreamName, object_key
from scaibunker.controller.relay.ranges import parse_range
from scaibunker.controller.relay.target import exists
from scaibunker.controller.relay.text import preview
from scaibunker.wire.api.execs import PREVIEW_LIMIT, ExecRecord
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.operation import Operation


async def listing(
    relay: Relay, op: Operation, bunker_id: str, page: PageRequest
) -> Slice[ExecRecord]:
    """A bunker's commands, newest first. Raises BunkerNotFound."""
    await exists(op, relay.database, bunker_id)
    return (await relay.log.listing(op, bunker_id, page)).map(view)


async def get(relay: Relay, op: Operation, bunker_id: str, exec_id: str) -> ExecRecord:
    """One command, with what its worker knows of it now."""
    entry = await detached.find(relay, op, bunker_id, exec_id)
    return view(await detached.refresh(relay, op, entry))


async def output(
    relay: Relay,
    op: Operation,
    bunker_id: str,
    exec_id: str,
    stream: StreamName,
    range_header: str | None,
) -> ByteStream:
    """The bytes of one stream of a command. Raises ObjectNotFound if they are not kept,
    and StorageUnavailable if that cannot be told now.

    A stream of more than 256 KiB, and what a command that nobody waited for wrote, is in object
    storage, or still on the worker. Of any other the log has the first 1 KiB, which may be all.
    """
    entry = await detached.find(relay, op, bunker_id, exec_id)
    if entry.output.ref:
        # One that is not there was the short one.
        with contextlib.suppress(ObjectNotFound), told():
            return await _stored(relay, object_key(entry.output.ref, stream), range_header)
    head = entry.output.stdout_head if stream == "stdout" else entry.output.stderr_head
    size = entry.output.stdout_bytes if stream == "stdout" else entry.output.stderr_bytes
    if entry.state is ExecState.EXITED and size <= len(head):
        return _whole(relay, head, range_header)
    if entry.detach or entry.state is ExecState.LOST:
        held = AsyncExitStack()
        chunks = await detached.spooled_output(relay, op, entry, stream, held)
        return ByteStream(chunks, held, idle_timeout_s=relay.settings.file_idle_timeout_s)
    raise ObjectNotFound(
        "The output of this command is not kept.",
        hint="Output of up to 256 KiB is in the command's answer; only longer output is kept.",
    )


async def _stored(relay: Relay, key: str, range_header: str | None) -> ByteStream:
    size = await relay.store.size(key)
    span = parse_range(range_header, size)
    start, end = span or (0, size)
    body = await relay.store.read(key, start, end)
    return _answer(relay, body.chunks, (start, end), size, partial=span is not None)


def _whole(relay: Relay, data: bytes, range_header: str | None) -> ByteStream:
    span = parse_range(range_header, len(data))
    start, end = span or (0, len(data))

    async def chunks() -> AsyncIterator[bytes]:
        yield data[start:end]

    return _answer(relay, chunks(), (start, end), len(data), partial=span is not None)


def _answer(
    relay: Relay, chunks: AsyncIterator[bytes], span: tuple[int, int], size: int, *, partial: bool
) -> ByteStream:
    start, end = span
    headers = {"content-length": str(end - start), "accept-ranges": "bytes"}
    if partial:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    return ByteStream(
        chunks,
        AsyncExitStack(),
        status=206 if partial else 200,
        headers=headers,
        idle_timeout_s=relay.settings.file_idle_timeout_s,
    )


def view(entry: ExecEntry) -> ExecRecord:
    """A command as its owner sees it."""
    ending = entry.ending
    return ExecRecord(
        exec_id=entry.id,
        bunker_id=entry.bunker_id,
        user_id=entry.user_id,
        command=entry.command,
        user="root" if entry.user == "root" else "bunker",
        detach=entry.detach,
        state=entry.state.value,
        exit_code=ending.exit_code if ending else None,
        signal=ending.signal if ending else None,
        timed_out=ending.timed_out if ending else False,
        started_at=entry.started_at,
        duration_ms=ending.duration_ms if ending else None,
        output_preview=preview(entry.output.stdout_head, entry.output.stderr_head, PREVIEW_LIMIT),
        full_output_ref=entry.output.ref,
        error=entry.error,
    )
