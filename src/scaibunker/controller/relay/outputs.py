"""Large outputs in object storage: a stream that outgrows what is inline is kept whole."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

import structlog

from scaibunker.controller.relay.domain import Output
from scaibunker.storage.objects import ObjectStore
from scaibunker.storage.writing import ObjectWriter
from scaibunker.wire.api.execs import INLINE_LIMIT

log = structlog.get_logger(__name__)

PATIENCE_S = 15.0
"""How long the store may take for a piece of output, while the command waits."""

StreamName = Literal["stdout", "stderr"]


def output_ref(tenant_id: str, bunker_id: str, exec_id: str) -> str:
    """The name under which a command's large streams are kept."""
    return f"scaibunker/outputs/{tenant_id}/{bunker_id}/{exec_id}"


def object_key(ref: str, stream: StreamName) -> str:
    """The key of one stream's object."""
    return f"{ref}/{stream}"


def captured(stdout: "Capture", stderr: "Capture", ref: str | None) -> Output:
    """What the log keeps of both streams; `ref` only if one of them is in an object."""
    kept = stdout.is_kept or stderr.is_kept
    sizes = (stdout.size, stderr.size)
    return Output.of(bytes(stdout.head), bytes(stderr.head), sizes, ref if kept else None)


@contextlib.asynccontextmanager
async def closing(*streams: "Capture") -> AsyncIterator[None]:
    """Close the captures when the block has come to its end; keep nothing if it raises."""
    try:
        yield
        for each in streams:
            await each.close()
    except BaseException:
        for each in streams:
            await each.discard()
        raise


class Capture:
    """One stream of a command: its head in memory, and all of it in an object once it is longer.

    Writing waits for the store, so that a fast command waits as well: memory stays bounded. A store
    that fails costs the object, not the command.
    """

    def __init__(self, store: ObjectStore, key: str, limit: int = INLINE_LIMIT) -> None:
        self.head = bytearray()
        self.size = 0
        self.is_kept = False
        self._store = store
        self._key = key
        self._limit = limit
        self._file: ObjectWriter | None = None
        self._failed = False

    @property
    def is_truncated(self) -> bool:
        """Whether there is more than the head."""
        return self.size > len(self.head)

    async def take(self, data: bytes) -> None:
        """The next bytes of the stream."""
        room = self._limit - len(self.head)
        if len(data) <= room:
            self.head += data
        else:
            await self._keep(data)
            self.head += data[:room]
        self.size += len(data)

    async def _keep(self, data: bytes) -> None:
        if self._failed:
            return
        try:
            if self._file is None:
                self._file = self._store.write(self._key)
                await self._put(self._file, bytes(self.head))
            await self._put(self._file, data)
        except Exception:
            await self._give_up()

    async def close(self) -> None:
        """The stream has ended as it should. A capture that is not closed keeps nothing."""
        if self._file is None:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._file.close()
            self.is_kept = True
        except Exception:
            await self._give_up()

    async def discard(self) -> None:
        """The stream has not ended as it should, or is of no use to anybody: nothing of it is kept."""
        self._failed, file, self._file = True, self._file, None
        if file is not None and not self.is_kept:
            await file.discard()

    async def _put(self, file: ObjectWriter, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await file.write(data)

    async def _give_up(self) -> None:
        log.exception("output could not be kept", key=self._key)
        await self.discard()
