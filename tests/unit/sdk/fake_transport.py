"""A wire without a network: carries requests of both clients to a handler, and records them."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

Piece = bytes | Exception
OCTETS = "application/octet-stream"


@dataclass
class Seen:
    """A request as it arrived. `chunks` are the sizes of the pieces that its body came in."""

    method: str
    path: str
    params: dict[str, str]
    query: list[tuple[str, str]]
    headers: httpx.Headers
    body: bytes
    chunks: list[int]
    timeout: dict[str, float]


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces; one that is an exception is raised where it stands."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = pieces
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers with `handler`, unless something waits in `faults`: an exception to raise instead of
    an answer (before the handler sees the request), or a function to make the answer with.

    Bodies longer than `keep_bytes` are counted but not kept.
    """

    handler: Callable[[Seen], httpx.Response]
    faults: deque[BaseException | Callable[[Seen], httpx.Response]] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    keep_bytes: int = 1 << 20
    responses: list[httpx.Response] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        seen = self._begin(request)
        for chunk in request.stream:
            self._take(seen, chunk)
        return self._answer(seen)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        seen = self._begin(request)
        async for chunk in request.stream:
            self._take(seen, chunk)
        return self._answer(seen)

    def _begin(self, request: httpx.Request) -> Seen:
        seen = Seen(
            method=request.method,
            path=request.url.path,
            params=dict(request.url.params),
            query=request.url.params.multi_items(),
            headers=request.headers,
            body=b"",
            chunks=[],
            timeout=request.extensions["timeout"],
        )
        self.seen.append(seen)
        return seen

    def _take(self, seen: Seen, chunk: bytes) -> None:
        seen.chunks.append(len(chunk))
        if len(seen.body) < self.keep_bytes:
            seen.body += chunk

    def _answer(self, seen: Seen) -> httpx.Response:
        response = self._made(seen)
        self.responses.append(response)
        return response

    def _made(self, seen: Seen) -> httpx.Response:
        if not self.faults:
            return self.handler(seen)
        fault = self.faults.popleft()
        if isinstance(fault, BaseException):
            raise fault
        return fault(seen)


def always(response: httpx.Response) -> Callable[[Seen], httpx.Response]:
    """A fault that is one answer, whatever was asked."""
    return lambda _: response


def ok(data: Any, status: int = 200, **beside: Any) -> httpx.Response:
    """A good answer."""
    content = {"status": "ok", "data": data, "meta": {"request_id": "req_1"}, **beside}
    return httpx.Response(status, json=content)


def refused(status: int, code: str, message: str = "no", **more: Any) -> httpx.Response:
    """A bad answer."""
    headers = more.pop("headers", {})
    error = {"code": code, "message": message, "hint": None, "details": [], **more}
    content = {"status": "error", "error": error, "meta": {"request_id": "req_bad"}}
    return httpx.Response(status, json=content, headers=headers)


def streamed(
    pieces: Iterable[Piece], kind: str = "text/event-stream", status: int = 200
) -> httpx.Response:
    """An answer in pieces."""
    headers = {"Content-Type": kind, "Transfer-Encoding": "chunked", "X-Request-Id": "req_s"}
    return httpx.Response(status, headers=headers, stream=Pieces(pieces))
