"""Objects on their way in and out: streamed, bounded, whole or not at all."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing

import structlog
from prometheus_client import Counter
from starlette.requests import ClientDisconnect, Request

from scaibunker.controller.objects import grants
from scaibunker.controller.objects.errors import StorageUnavailable, told
from scaibunker.controller.relay.bytestream import ByteStream
from scaibunker.controller.relay.ranges import parse_range
from scaibunker.controller.settings import StorageSettings
from scaibunker.storage.digests import X_CONTENT_SHA256, BadDigest, expected_sha256
from scaibunker.storage.keys import BadKey, check_key
from scaibunker.storage.objects import ObjectInfo, ObjectStore
from scaibunker.wire.api.storage import StoredObject
from scaigrid.errors import PayloadTooLarge, RangeNotSatisfiable, ValidationFailed
from scaigrid.http.body import DISCARDED, BodyAborted
from scaigrid.metrics.registry import Metrics
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

DISCARD_S = 10.0
"""How long a body is still read that is not wanted, so that its sender hears why."""


class Objects:
    """The operations."""

    def __init__(self, store: ObjectStore, settings: StorageSettings, metrics: Metrics) -> None:
        self._store = store
        self._settings = settings
        self._bytes: Counter = metrics.counter(
            "storage_bytes", "Bytes of objects that went in or out.", ["direction"]
        )

    def may(self, op: Operation, request: Request, key: str) -> int:
        """Whether the operation may do what the request asks of the key; the bytes that it may store.
        Raises ValidationFailed or PermissionDenied."""
        try:
            if b"%" in request.scope.get("raw_path", b""):
                raise BadKey("must be sent as it is, without percent signs")
            check_key(key)
        except BadKey as error:
            raise ValidationFailed.of("key", str(error)) from None
        return grants.check(op, request.method, key, self._settings.storage_max_object_bytes)

    async def put(self, op: Operation, request: Request, key: str) -> StoredObject:
        """Store a request's body, all of it; until then the old object, if any, stays."""
        limit = self.may(op, request, key)
        expected = _expected(request)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            await self._discard(request)
            raise _too_large(limit)
        size, digest = 0, hashlib.sha256()
        with told():
            async with (
                self._store.write(key, expected) as writer,
                aclosing(self._received(request)) as body,
            ):
                async for chunk in body:
                    size += len(chunk)
                    if size > limit:
                        await self._discard(request)
                        raise _too_large(limit)
                    digest.update(chunk)
                    await writer.write(chunk)
                    self._bytes.labels("in").inc(len(chunk))
                if expected is not None and digest.hexdigest() != expected:
                    raise ValidationFailed.of(
                        X_CONTENT_SHA256,
                        "is not the SHA-256 of what has arrived; nothing is stored",
                    )
            info = await self._store.head(key)
        if info.size != size:
            log.error("the store has another size than was sent", key=key, sent=size, has=info.size)
            raise StorageUnavailable("The object store has not kept what was sent.")
        op.note(bytes=size)
        return StoredObject(key=key, size=size, sha256=digest.hexdigest(), etag=info.e_tag)

    async def get(
        self, op: Operation, request: Request, key: str, range_header: str | None
    ) -> ByteStream:
        """An object's bytes. If they cannot all be had, the answer is cut."""
        self.may(op, request, key)
        with told():
            if range_header is None:
                body, span = await self._store.read(key), None
            else:
                span = parse_range(range_header, (await self._store.head(key)).size)
                body = await self._store.read(key, *(span or ()))
        headers = described(body.info)
        headers["content-length"] = str(body.end - body.start)
        if span is not None:
            if body.start >= body.end:  # it has become shorter since
                raise RangeNotSatisfiable.of("object", body.size)
            headers["content-range"] = f"bytes {body.start}-{body.end - 1}/{body.size}"
        return ByteStream(
            self._counted(body.chunks),
            AsyncExitStack(),
            status=200 if span is None else 206,
            headers=headers,
            idle_timeout_s=self._settings.storage_idle_timeout_s,
        )

    async def head(self, op: Operation, request: Request, key: str) -> ObjectInfo:
        """What is known of an object."""
        self.may(op, request, key)
        with told():
            return await self._store.head(key)

    async def delete(self, op: Operation, request: Request, key: str) -> None:
        """Delete an object; that there is none is as good."""
        self.may(op, request, key)
        with told():
            await self._store.delete(key)

    async def _received(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises if it stands still or ends early."""
        stream = request.stream()
        while True:
            try:
                async with asyncio.timeout(self._settings.storage_idle_timeout_s):
                    chunk = await anext(stream, None)
            except ClientDisconnect:
                raise BodyAborted from None
            except TimeoutError:
                raise ValidationFailed.of("body", "did not arrive in time") from None
            if chunk is None:
                return
            if chunk:
                yield chunk

    async def _discard(self, request: Request) -> None:
        """Read on for a while."""
        left = DISCARDED
        try:
            async with asyncio.timeout(DISCARD_S):
                async for chunk in self._received(request):
                    left -= len(chunk)
                    if left < 0:
                        return
        except (TimeoutError, ValidationFailed, RuntimeError):
            return

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        count = self._bytes.labels("out")
        async for chunk in chunks:
            yield chunk
            count.inc(len(chunk))


def described(info: ObjectInfo) -> dict[str, str]:
    """The headers that say what an object is."""
    headers = {"accept-ranges": "bytes", "x-content-type-options": "nosniff"}
    if info.e_tag is not None:
        quoted = info.e_tag.startswith(('"', "W/"))
        headers["etag"] = info.e_tag if quoted else f'"{info.e_tag}"'
    if info.sha256 is not None:
        headers[X_CONTENT_SHA256.lower()] = info.sha256
    return headers


def _expected(request: Request) -> str | None:
    try:
        return expected_sha256(request.headers, request.query_params)
    except BadDigest as error:
        raise ValidationFailed.of(error.header, str(error)) from None


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The object is larger than {limit} bytes.")
