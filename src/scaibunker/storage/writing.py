"""An object while it is written. It appears when it is closed, whole, or never."""

import asyncio
import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scaibunker.storage.errors import NoSuchObject, StoreUnavailable, translated

if TYPE_CHECKING:
    from obstore import AsyncWritableFile

DISCARD_S = 5.0
"""How long it may take to tell the store that an upload is given up; then that is left to the
bucket's rule for unfinished uploads."""


class ObjectWriter:
    """Takes bytes in pieces of any size; holds one or two parts of them in memory.

    As a context manager it closes the object, or discards it if the block raises. Whoever uses it
    otherwise calls `close` or `discard`: a server keeps the parts of an upload that has no end.
    """

    def __init__(self, key: str, file: "AsyncWritableFile") -> None:
        self.key = key
        self.size = 0
        self._file: AsyncWritableFile | None = file

    async def write(self, data: bytes) -> None:
        """The next bytes. Raises StoreUnavailable or StoreFull; then it can only be discarded."""
        with self._translated():
            await self._open().write(data)
        self.size += len(data)

    async def close(self) -> None:
        """Have the object appear, or replace the one of its key. Raises as `write` does; then
        there is nothing left to discard, and the old object, if any, is as it was."""
        file, self._file = self._open(), None
        with self._translated():
            await file.close()

    async def discard(self) -> None:
        """Have nothing of it stay. Never raises."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(TimeoutError, NoSuchObject, StoreUnavailable):
            async with asyncio.timeout(DISCARD_S):
                with translated(self.key):
                    # What obstore does with a block that has failed is to abort the upload.
                    await file.__aexit__(StoreUnavailable, None, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self.discard()

    def _open(self) -> "AsyncWritableFile":
        if self._file is None:
            raise ValueError("the object is closed")
        return self._file

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self.key):
                yield
        except NoSuchObject:  # of a write: it is the bucket that is not there
            raise StoreUnavailable(self.key) from None
