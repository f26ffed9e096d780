"""A bunker as an object: its last known record, and everything that can be done with it."""

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, Unpack

from scaibunker.sdk._async.bunker_calls import DEFAULT_WAIT_S, AsyncBunkerCalls
from scaibunker.sdk._async.exec_stream import AsyncExecStream
from scaibunker.sdk._async.execs import AsyncExecs
from scaibunker.sdk._async.files import AsyncFiles
from scaibunker.sdk._async.snapshots import DEFAULT_SNAPSHOT_WAIT_S, AsyncSnapshots
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk.errors import NotFound, ScaiBunkerError
from scaibunker.sdk.options import ExecOptions
from scaibunker.sdk.records import BunkerRecord, ExecResult
from scaibunker.sdk.waiting import SnapshotProgress, unobserved
from scaibunker.wire.api.bunkers import BunkerStatus
from scaibunker.wire.api.snapshots import Snapshot, SnapshotKind

_LOG = logging.getLogger("scaibunker.sdk")


class AsyncBunker:
    """One bunker. Used in a `with` it is terminated on leaving.

    `record` is what was last heard of it; `refresh` asks again. `execs` has every way to run a
    command, `files` the file system.
    """

    def __init__(self, transport: AsyncTransport, record: BunkerRecord) -> None:
        self._calls = AsyncBunkerCalls(transport)
        self._snapshots = AsyncSnapshots(transport)
        self.record = record
        self.execs = AsyncExecs(transport, record.id)
        self.files = AsyncFiles(transport, record.id)

    @property
    def id(self) -> str:
        """The bunker's id."""
        return self.record.id

    @property
    def status(self) -> BunkerStatus:
        """The status that was last heard of."""
        return self.record.status

    async def exec(
        self, command: str | Sequence[str], *, check: bool = False, **options: Unpack[ExecOptions]
    ) -> ExecResult:
        """Run a command and wait for its end. See `AsyncExecs.run`."""
        return await self.execs.run(command, check=check, **options)

    def stream(
        self, command: str | Sequence[str], **options: Unpack[ExecOptions]
    ) -> AbstractAsyncContextManager[AsyncExecStream]:
        """Run a command and take its output as it comes. See `AsyncExecs.stream`."""
        return self.execs.stream(command, **options)

    async def refresh(self) -> BunkerRecord:
        """Ask for the record again."""
        self.record = await self._calls.record(self.id)
        return self.record

    async def wait_until(
        self,
        status: BunkerStatus | str = BunkerStatus.RUNNING,
        *,
        timeout: float = DEFAULT_WAIT_S,
    ) -> None:
        """Wait until it has this status. See `AsyncBunkerCalls.wait_until`."""
        self.record = await self._calls.wait_until(self.id, status, timeout=timeout)

    async def pause(self) -> None:
        """Freeze it in place: memory and quota kept, no CPU used."""
        self.record = await self._calls.pause(self.id)

    async def resume(self) -> None:
        """Let it go on where it was paused."""
        self.record = await self._calls.resume(self.id)

    async def keepalive(self) -> None:
        """Count as activity, so that the idle time starts again."""
        self.record = await self._calls.keepalive(self.id)

    async def snapshot(
        self,
        kind: SnapshotKind | str = SnapshotKind.DISK,
        *,
        name: str | None = None,
        expires_in_s: int | None = None,
        wait: bool = True,
        wait_timeout: float = DEFAULT_SNAPSHOT_WAIT_S,
        on_progress: SnapshotProgress = unobserved,
    ) -> Snapshot:
        """Copy it, and go on. See `AsyncSnapshots.create`."""
        return await self._snapshots.create(
            self.id,
            kind,
            name=name,
            expires_in_s=expires_in_s,
            wait=wait,
            wait_timeout=wait_timeout,
            on_progress=on_progress,
        )

    async def delete(self, *, snapshot: bool | SnapshotKind | str = False) -> None:
        """Terminate it. See `AsyncBunkerCalls.delete`."""
        self.record = await self._calls.delete(self.id, snapshot=snapshot)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.delete()
        except NotFound:
            return
        except ScaiBunkerError as error:
            if exc is None:
                raise
            # What went wrong first is what the caller needs to see.
            _LOG.warning("bunker %s may still exist: %s", self.id, error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"
