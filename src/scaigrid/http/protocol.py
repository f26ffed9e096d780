"""HTTP/1.1 on one connection: uvicorn's, with bounds on what a stranger can have it keep.

uvicorn bounds neither the head of a request, nor how long one may take, nor how many connections
there are.
"""

import asyncio
import resource
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from scaigrid.errors import GridError, ValidationFailed
from scaigrid.http.errors import failure
from scaigrid.ids import new_id

MAX_HEAD = 64 * 1024
"""Bytes of a request line and headers; one more read from the socket may be taken in."""
SPARE_FILES = 200
"""Files that connections leave to everything else in the process."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of all connections of a server."""

    head_timeout_s: float
    max_connections: int

    def connections(self) -> int:
        """How many there may be, which the process's limit of open files has a say in."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self.max_connections
        return max(1, min(self.max_connections, files - SPARE_FILES))


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, bounds: Bounds, /, **how: Any) -> None:
        super().__init__(**how)
        self._bounds = bounds
        self._most = bounds.connections()
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and give up on a head that does not come to its end."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes and not self.transport.is_closing():
            if self._head_bytes > MAX_HEAD:
                error = ValidationFailed(
                    f"The head of the request is larger than {MAX_HEAD} bytes."
                )
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, error)
            elif self._head_timer is None:
                self._await_head()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the library's words
        """Refuse what is no request."""
        error = ValidationFailed("What was sent is no HTTP request.")
        self._refuse(HTTPStatus.BAD_REQUEST, error)

    def _refuse(self, status: HTTPStatus, error: GridError) -> None:
        """Answer, as every refusal is answered, what never became a request, and end the connection."""
        request_id = new_id("req")
        answer = failure(error, request_id)
        answer.headers.update({"X-Request-Id": request_id, "Connection": "close"})
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._head_bytes = 0
        self._forget_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are the next request's."""
        self._in_head = True
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._bounds.head_timeout_s, self._give_up)

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.abort()
