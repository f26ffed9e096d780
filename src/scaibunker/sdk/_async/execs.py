"""Commands in a bunker: run and wait, run and stream, or start and come back later.

A started (detached) command's own operations are `execution`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

from scaibunker.sdk import _calls, _requests
from scaibunker.sdk._async.exec_stream import AsyncExecStream, decoded
from scaibunker.sdk._async.execution import AsyncExecution
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import Call, bunker_path
from scaibunker.sdk.errors import CommandFailed
from scaibunker.sdk.options import ExecOptions
from scaibunker.sdk.records import ExecId, ExecResult
from scaibunker.wire.api.execs import ExecRecord


class AsyncExecs:
    """The commands of one bunker.

    A command that is a text is run by `/bin/sh -c`; a sequence is run as it is, with no shell.
    """

    def __init__(self, transport: AsyncTransport, bunker_id: str) -> None:
        self._transport = transport
        self._bunker_id = _calls.checked_id("bunker id", bunker_id)

    async def run(
        self, command: str | Sequence[str], *, check: bool = False, **options: Unpack[ExecOptions]
    ) -> ExecResult:
        """Run a command and wait for its end; of each stream the first 256 KiB come back.

        With `check`, anything but exit code 0 raises `CommandFailed`. Never sent twice: a
        connection that is lost raises, and `may_have_run` tells whether it can have run.
        """
        request = _requests.exec_request(command, options)
        call = Call(
            "POST",
            bunker_path(self._bunker_id, "exec"),
            body=request,
            read_timeout=_requests.answer_timeout(request),
        )
        result = await self._transport.record(call, ExecResult)
        if check and not result.ok:
            raise CommandFailed(result)
        return result

    @asynccontextmanager
    async def stream(
        self, command: str | Sequence[str], **options: Unpack[ExecOptions]
    ) -> AsyncIterator[AsyncExecStream]:
        """Run a command and take its output as it comes, bytes exact and in order.

        Leaving the `with` before the end kills the command's process group.
        """
        call = Call(
            "POST",
            bunker_path(self._bunker_id, "exec"),
            body=_requests.exec_request(command, options, "stream"),
        )
        async with self._transport.events(call) as events:
            yield AsyncExecStream(decoded(events))

    async def start(
        self, command: str | Sequence[str], **options: Unpack[ExecOptions]
    ) -> AsyncExecution:
        """Start a command that outlives this call, and this client."""
        call = Call(
            "POST",
            bunker_path(self._bunker_id, "exec"),
            body=_requests.exec_request(command, options, "detach"),
        )
        started = await self._transport.record(call, ExecId)
        return self.execution(started.exec_id)

    def execution(self, exec_id: str) -> AsyncExecution:
        """A command that was started earlier, by its id alone: no request is made."""
        return AsyncExecution(self._transport, self._bunker_id, exec_id)

    async def list(self, *, page_size: int | None = None) -> AsyncIterator[ExecRecord]:
        """The exec log, newest first; pages are fetched as they are needed."""
        call = _calls.get(bunker_path(self._bunker_id, "execs"), limit=page_size)
        async for record in self._transport.pages(call, ExecRecord):
            yield record
