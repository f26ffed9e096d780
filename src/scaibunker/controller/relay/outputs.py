"""Large outputs in object storage: a stream that outgrows what is inline is kept whole."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

import structlog

from scaibunker.storage.objects import ObjectStore
from scaibunker.wire.api.execs import INLINE_LIMIT

if TYPE_CHECKING:
    from obstore import AsyncWritableFile

log = structlog.get_logger(__name__)

StreamName = Literal["stdout", "stderr"]


def output_ref(tenant_id: str, bunker_id: str, exec_id: str) -> str:
    """The name under which a command's large streams are kept."""
    return f"scaibunker/outputs/{tenant_id}/{bunker_id}/{exec_id}"


def object_key(ref: str, stream: StreamName) -> str:
    """The key of one stream's object."""
    return f"{ref}/{stream}"


class Capture:
    """One stream of a command: its head in memory, and all of it in an object once it is longer.

    Writing waits for the store, so that a fast command waits as well: memory stays bounded.
    """

    def __init__(self, store: ObjectStore, key: str, stack: contextlib.AsyncExitStack) -> None:
        self.head = bytearray()
        self.size = 0
        self._store = store
        self._key = key
        self._stack = stack
        self._file: AsyncWritableFile | None = None

    @property
    def is_truncated(self) -> bool:
        """Whether there is more than the head."""
        return self.size > len(self.head)

    async def take(self, data: bytes) -> None:
        """The next bytes of the stream."""
        self.size += len(data)
        room = INLINE_LIMIT - len(self.head)
        if self._file is None and len(data) <= room:
            self.head += data
            return
        if self._file is None:
            self._file = await self._stack.enter_async_context(self._store.writer(self._key))
            await self._file.write(bytes(self.head))
            self.head += data[:room]
        await self._file.write(data)


@contextlib.asynccontextmanager
async def capturing(store: ObjectStore, ref: str) -> AsyncIterator[tuple[Capture, Capture]]:
    """Both streams of a command. The objects appear when the block ends, and not if it raises."""
    async with contextlib.AsyncExitStack() as stack:
        yield (
            Capture(store, object_key(ref, "stdout"), stack),
            Capture(store, object_key(ref, "stderr"), stack),
        )
