# Generated from _async/bunker.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""A bunker as an object: its last known record, and everything that can be done with it."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, Unpack

from scaibunker.sdk._sync.bunker_calls import DEFAULT_WAIT_S, BunkerCalls
from scaibunker.sdk._sync.exec_stream import ExecStream
from scaibunker.sdk._sync.execs import Execs
from scaibunker.sdk._sync.files import Files
from scaibunker.sdk._sync.snapshots import DEFAULT_SNAPSHOT_WAIT_S, Snapshots
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk.errors import NotFound, ScaiBunkerError
from scaibunker.sdk.options import ExecOptions
from scaibunker.sdk.records import BunkerRecord, ExecResult
from scaibunker.sdk.waiting import SnapshotProgress, unobserved
from scaibunker.wire.api.bunkers import BunkerStatus
from scaibunker.wire.api.snapshots import Snapshot, SnapshotKind

_LOG = logging.getLogger("scaibunker.sdk")


class Bunker:
    """One bunker. Used in a `with` it is terminated on leaving.

    `record` is what was last heard of it; `refresh` asks again. `execs` has every way to run a
    command, `files` the file system.
    """

    def __init__(self, transport: Transport, record: BunkerRecord) -> None:
        self._calls = BunkerCalls(transport)
        self._snapshots = Snapshots(transport)
        self.record = record
        self.execs = Execs(transport, record.id)
        self.files = Files(transport, record.id)

    @property
    def id(self) -> str:
        """The bunker's id."""
        return self.record.id

    @property
    def status(self) -> BunkerStatus:
        """The status that was last heard of."""
        return self.record.status

    def exec(
        self, command: str | Sequence[str], *, check: bool = False, **options: Unpack[ExecOptions]
    ) -> ExecResult:
        """Run a command and wait for its end. See `Execs.run`."""
        return self.execs.run(command, check=check, **options)

    def stream(
        self, command: str | Sequence[str], **options: Unpack[ExecOptions]
    ) -> AbstractContextManager[ExecStream]:
        """Run a command and take its output as it comes. See `Execs.stream`."""
        return self.execs.stream(command, **options)

    def refresh(self) -> BunkerRecord:
        """Ask for the record again."""
        self.record = self._calls.record(self.id)
        return self.record

    def wait_until(
        self,
        status: BunkerStatus | str = BunkerStatus.RUNNING,
        *,
        timeout: float = DEFAULT_WAIT_S,
    ) -> None:
        """Wait until it has this status. See `BunkerCalls.wait_until`."""
        self.record = self._calls.wait_until(self.id, status, timeout=timeout)

    def pause(self) -> None:
        """Freeze it in place: memory and quota kept, no CPU used."""
        self.record = self._calls.pause(self.id)

    def resume(self) -> None:
        """Let it go on where it was paused."""
        self.record = self._calls.resume(self.id)

    def keepalive(self) -> None:
        """Count as activity, so that the idle time starts again."""
        self.record = self._calls.keepalive(self.id)

    def snapshot(
        self,
        kind: SnapshotKind | str = SnapshotKind.DISK,
        *,
        name: str | None = None,
        expires_in_s: int | None = None,
        wait: bool = True,
        wait_timeout: float = DEFAULT_SNAPSHOT_WAIT_S,
        on_progress: SnapshotProgress = unobserved,
    ) -> Snapshot:
        """Copy it, and go on. See `Snapshots.create`."""
        return self._snapshots.create(
            self.id,
            kind,
            name=name,
            expires_in_s=expires_in_s,
            wait=wait,
            wait_timeout=wait_timeout,
            on_progress=on_progress,
        )

    def delete(self, *, snapshot: bool | SnapshotKind | str = False) -> None:
        """Terminate it. See `BunkerCalls.delete`."""
        self.record = self._calls.delete(self.id, snapshot=snapshot)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.delete()
        except NotFound:
            return
        except ScaiBunkerError as error:
            if exc is None:
                raise
            # What went wrong first is what the caller needs to see.
            _LOG.warning("bunker %s may still exist: %s", self.id, error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"
