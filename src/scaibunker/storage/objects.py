"""One object store behind one URL. Objects are streamed both ways; memory stays bounded.

Keys have passed `keys.check_key`, or are made of ids of ours and fixed words; the backend refuses any
that would leave its root. Errors are those of `errors`.
"""

import hashlib
import heapq
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import PreconditionError
from obstore.store import S3Store

from scaibunker.storage.backend import StoreOptions, open_backend
from scaibunker.storage.errors import (
    BadStoreUrl,
    BrokenObject,
    KeyTaken,
    NoSuchObject,
    translated,
)
from scaibunker.storage.writing import ObjectWriter

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta

__all__ = ["BadStoreUrl", "NoSuchObject", "ObjectBody", "ObjectInfo", "ObjectStore", "Page"]

PAGE = 1000
"""Objects of a page at most, as S3 has it."""
_CHUNK = 256 * 1024
_LIST_CHUNK = 1000
_SHA256 = "sha256"
"""The name under which a bucket keeps an object's digest."""
_NOWHERE = "scaibunker-ping"
"""A prefix that nothing has."""
_REREADS = 3


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object. `sha256` is what its writer has said, if the backend keeps that;
    `modified_at` is by the backend's clock."""

    key: str
    size: int
    modified_at: datetime
    e_tag: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectBody:
    """An object, or a part of it: bytes `start` to `end` (exclusive) of `info.size`.

    `chunks` raises BrokenObject before its last bytes if they are not as many as they should be or,
    where the digest is known and all is read, not those that were written.
    """

    info: ObjectInfo
    start: int
    end: int
    chunks: AsyncIterator[bytes]

    @property
    def size(self) -> int:
        """Of the whole object, in bytes."""
        return self.info.size


@dataclass(frozen=True, slots=True)
class Page:
    """Objects by key; `has_more` if there are others after the last of them."""

    objects: list[ObjectInfo]
    has_more: bool


class ObjectStore:
    """Objects by key."""

    def __init__(self, options: StoreOptions | str) -> None:
        """With a URL or options. Raises BadStoreUrl."""
        self._options = StoreOptions(options) if isinstance(options, str) else options
        self._store = open_backend(self._options)
        self._is_bucket = isinstance(self._store, S3Store)

    def write(self, key: str, sha256: str | None = None) -> ObjectWriter:
        """A new object, written as its bytes come; `sha256` (hex) is kept with it where that can be."""
        attributes = {_SHA256: sha256} if sha256 and self._is_bucket else None
        file = obstore.open_writer_async(
            self._store,
            key,
            attributes=attributes,
            buffer_size=self._options.part_bytes,
            max_concurrency=1,
        )
        return ObjectWriter(key, file)

    async def head(self, key: str) -> ObjectInfo:
        """What is known of an object. Raises NoSuchObject."""
        try:
            return _info(await self._get(key, {"head": True}))
        except NoSuchObject:
            if not self._is_bucket:
                raise
        # The answer to HEAD has no body that would say what is not there: object, bucket or account.
        return _info(await self._get(key, {}))

    async def size(self, key: str) -> int:
        """An object's size in bytes. Raises NoSuchObject."""
        return (await self.head(key)).size

    async def read(self, key: str, start: int = 0, end: int | None = None) -> ObjectBody:
        """An object's bytes from `start` to `end` (exclusive), of one and the same object even if it
        is replaced meanwhile. Raises NoSuchObject."""
        if start == 0 and end is None:
            return _body(await self._get(key, {}))
        for _ in range(_REREADS):
            info = await self.head(key)
            last = info.size if end is None else min(end, info.size)
            if start >= last:
                return ObjectBody(info, start, start, _nothing())
            options: GetOptions = {"range": (start, last)}
            if info.e_tag is not None:
                options["if_match"] = info.e_tag
            try:
                found = await self._get(key, options)
            except PreconditionError:
                continue  # it was replaced between the two requests
            body = _body(found)
            if (body.start, body.end) != (start, last):
                raise BrokenObject(key)
            return body
        raise BrokenObject(key)

    async def delete(self, *keys: str) -> None:
        """Delete objects; that one is not there any more is as good."""
        if not keys:
            return
        if self._is_bucket:  # a bucket takes many at a time
            with translated(keys[0]):
                await obstore.delete_async(self._store, list(keys))
            return
        for key in keys:
            try:
                with translated(key):
                    await obstore.delete_async(self._store, key)
            except NoSuchObject:
                pass

    async def delete_below(self, prefix: str) -> int:
        """Delete all objects whose key begins with the segments of `prefix`; how many there were."""
        count = 0
        while True:
            page = await self.page(prefix)
            await self.delete(*(each.key for each in page.objects))
            count += len(page.objects)
            if not page.has_more:
                return count

    async def page(self, prefix: str, after: str | None = None, limit: int = PAGE) -> Page:
        """Objects below the segments of `prefix` whose key comes after `after`, by key."""
        found: list[ObjectInfo] = []
        is_sorted = self._is_bucket  # a bucket lists by key, a directory in no order
        with translated(prefix):
            stream = obstore.list(self._store, prefix, offset=after, chunk_size=_LIST_CHUNK)
            async for chunk in stream:
                found += [_listed(meta) for meta in chunk if after is None or meta["path"] > after]
                if len(found) > limit:
                    found = heapq.nsmallest(limit + 1, found, key=lambda each: each.key)
                    if is_sorted:
                        break
        found.sort(key=lambda each: each.key)
        return Page(found[:limit], len(found) > limit)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects below the segments of `prefix`, by key, page by page."""
        after: str | None = None
        while True:
            page = await self.page(prefix, after)
            for each in page.objects:
                yield each
            if not page.has_more:
                return
            after = page.objects[-1].key

    async def ping(self) -> None:
        """Ask the store for something small. Raises StoreUnavailable."""
        with translated(_NOWHERE):
            async for _ in obstore.list(self._store, _NOWHERE, chunk_size=1):
                return

    async def _get(self, key: str, options: "GetOptions") -> "GetResult":
        try:
            with translated(key):
                return await obstore.get_async(self._store, key, options=options)
        except KeyTaken:
            raise NoSuchObject(key) from None


def _info(found: "GetResult") -> ObjectInfo:
    kept: Any = found.attributes.get(_SHA256)
    return replace(_listed(found.meta), sha256=kept if isinstance(kept, str) else None)


def _listed(meta: "ObjectMeta") -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], meta["last_modified"], meta["e_tag"])


def _body(found: "GetResult") -> ObjectBody:
    info = _info(found)
    start, end = found.range
    is_whole = (start, end) == (0, info.size)
    chunks = _checked(
        info.key,
        found.stream(min_chunk_size=_CHUNK),
        end - start,
        info.sha256 if is_whole else None,
    )
    return ObjectBody(info, start, end, chunks)


async def _checked(
    key: str, chunks: Any, length: int, sha256: str | None
) -> AsyncGenerator[bytes, None]:
    """The bytes, the last of them only once all are known to be right."""
    seen, digest, held = 0, hashlib.sha256(), b""
    with translated(key):
        async for chunk in chunks:
            data = bytes(chunk)
            seen += len(data)
            if seen > length:
                raise BrokenObject(key)
            if sha256 is not None:
                digest.update(data)
            if held:
                yield held
            held = data
    if seen != length or (sha256 is not None and digest.hexdigest() != sha256):
        raise BrokenObject(key)
    if held:
        yield held


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""
