"""Snapshots in the deployment's object storage, through a controller or a storage proxy.

The worker shows its token and never has the store's own credentials. Bodies are streamed; the server
verifies what it is sent against the checksum that is said with it.
"""

import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus

import aiohttp

from scaibunker.wire.codes import Code
from scaibunker.wire.worker import TOKEN_HEADER
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.guest.text import clean
from scaibunker.worker.snapshots.store import CHUNK, NAME, ObjectMissing, StoreAway

PATH = "/v1/modules/scaibunker/storage/scaibunker/snapshots/"
CHECKSUM_HEADER = "X-Content-SHA256"
CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 60.0
READ_SILENCE_TIMEOUT_S = 20.0
"""Shorter: what is being read goes on from where it broke off."""
READ_AHEAD = 1024 * 1024
"""Bytes that are on the way while those before are worked on."""
ANSWER_LIMIT = 16 * 1024
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-", re.ASCII)
AWAY = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class HttpStore:
    """A `SnapshotStore` at a base URL; or a store of other objects, whose `names` are below another `path`."""

    def __init__(
        self,
        url: str,
        token: str,
        tls: ssl.SSLContext | None = None,
        *,
        path: str = PATH,
        names: re.Pattern[str] = NAME,
    ) -> None:
        self._url = url.rstrip("/") + path
        self._names = names
        self._headers = {TOKEN_HEADER: f"Bearer {token}"}
        self._tls = tls

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str) -> None:
        headers = {CHECKSUM_HEADER: sha256, "Content-Length": str(size)}
        try:
            async with (
                self._session() as session,
                session.put(self._address(name), data=chunks, headers=headers) as answer,
            ):
                await _check(answer, name)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StoreAway(f"cannot store {name}: {_said(error)}") from error

    async def get(self, name: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        asked = {"Range": f"bytes={start}-"} if start else {}
        try:
            async with (
                self._session(READ_SILENCE_TIMEOUT_S) as session,
                session.get(self._address(name), headers=asked) as answer,
            ):
                await _check(answer, name)
                # One that knows no ranges sends all of it.
                skip = start - _begins_at(answer)
                if skip < 0:
                    raise WorkerFault("storage sends another part of an object than was asked for")
                async for chunk in answer.content.iter_chunked(CHUNK):
                    if skip < len(chunk):
                        yield chunk[skip:]
                    skip = max(0, skip - len(chunk))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StoreAway(f"cannot read {name}: {_said(error)}") from error

    async def delete(self, name: str) -> None:
        try:
            async with (
                self._session() as session,
                session.delete(self._address(name)) as answer,
            ):
                if answer.status != HTTPStatus.NOT_FOUND:
                    await _check(answer, name)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StoreAway(f"cannot delete {name}: {_said(error)}") from error

    def _session(self, silence_s: float = SILENCE_TIMEOUT_S) -> aiohttp.ClientSession:
        """One for each transfer: they are few and long."""
        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_s
            ),
            connector=aiohttp.TCPConnector(ssl=self._tls or True),
            auto_decompress=False,
            read_bufsize=READ_AHEAD,
        )

    def _address(self, name: str) -> str:
        if not self._names.match(name):
            raise WorkerFault("that is no name of an object of this kind")
        return self._url + name


async def _check(answer: aiohttp.ClientResponse, name: str) -> None:
    if answer.status < HTTPStatus.BAD_REQUEST:
        return
    text = _reason(await answer.content.read(ANSWER_LIMIT))
    if answer.status == HTTPStatus.NOT_FOUND:
        raise ObjectMissing(f"there is no {name} in storage")
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise WorkerFault(f"{name} is shorter than it was")
    if answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
        raise WorkerFault("object storage is full", Code.STORAGE_FULL)
    message = f"storage refuses {name}: {answer.status} {text}".rstrip()
    if answer.status in AWAY:
        raise StoreAway(message)
    raise WorkerFault(message)


def _begins_at(answer: aiohttp.ClientResponse) -> int:
    """The offset of an answer's first byte in its object."""
    if answer.status != HTTPStatus.PARTIAL_CONTENT:
        return 0
    found = CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
    if found is None:
        raise WorkerFault("storage does not say which part of an object it sends")
    return int(found[1])


def _reason(body: bytes) -> str:
    """The code of an error answer, and what it says."""
    try:
        error = json.loads(body)["error"]
        return clean(f"{error['code']}: {error['message']}")
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
