"""One object store behind one URL. Objects are streamed both ways; memory stays bounded.

Keys are made of ids of ours and fixed words; the backend refuses any that would leave its root.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore

if TYPE_CHECKING:
    from obstore import AsyncWritableFile

_BUFFER = 4 * 1024 * 1024
_CHUNK = 256 * 1024


class BadStoreUrl(ValueError):
    """The URL names no object store that is supported."""


class NoSuchObject(Exception):
    """There is no object of that key."""


@dataclass(frozen=True, slots=True)
class ObjectBody:
    """An object, or a part of it: bytes `start` to `end` (exclusive) of `size`."""

    size: int
    start: int
    end: int
    chunks: AsyncIterator[bytes]


class ObjectStore:
    """Objects by key."""

    def __init__(self, url: str) -> None:
        self._store = LocalStore(_local_root(url), mkdir=True)

    def write(self, key: str) -> "AsyncWritableFile":
        """A new object, written as its bytes come. It appears when it is closed; one that is let go
        without that never does."""
        return obstore.open_writer_async(self._store, key, buffer_size=_BUFFER, max_concurrency=1)

    async def size(self, key: str) -> int:
        """An object's size in bytes. Raises NoSuchObject."""
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            raise NoSuchObject(key) from None

    async def read(self, key: str, start: int = 0, end: int | None = None) -> ObjectBody:
        """An object's bytes from `start` to `end` (exclusive). Raises NoSuchObject."""
        try:
            if start == 0 and end is None:
                found = await obstore.get_async(self._store, key)
            else:
                last = await self.size(key) if end is None else end
                found = await obstore.get_async(self._store, key, options={"range": (start, last)})
        except FileNotFoundError:
            raise NoSuchObject(key) from None
        first, stop = found.range
        return ObjectBody(found.meta["size"], first, stop, found.stream(min_chunk_size=_CHUNK))


def _local_root(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise BadStoreUrl("must be file:/// and the absolute path of a directory")
    return Path(unquote(parts.path))
