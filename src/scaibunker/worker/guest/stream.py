"""One request's answer, as it comes over a session with the guest agent."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from scaibunker.worker.errors import GuestUnreachable

Headers = list[tuple[str, str]]


class Session(Protocol):
    """What a stream needs of its connection."""

    def acknowledge(self, stream_id: int, credit: int) -> None: ...

    def reset(self, stream_id: int, reason: GuestUnreachable | None = None) -> None: ...


class GuestStream:
    """One request's answer. `status` and `headers` are there once `response` has returned."""

    def __init__(self, connection: Session, stream_id: int) -> None:
        self._connection = connection
        self.id = stream_id
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._wake = asyncio.Event()
        self._error: GuestUnreachable | None = None
        self.sender: asyncio.Task[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False

    async def response(self) -> int:
        """Wait for the status line. Raises GuestUnreachable."""
        while not self.status:
            await self._progress()
        return self.status

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises GuestUnreachable if it breaks off."""
        while True:
            data = self.take()
            if data:
                yield data
            elif self.ended:
                return
            else:
                await self._progress()

    def take(self) -> bytes:
        """All that has arrived so far, and let the guest send as much again."""
        if not self._chunks:
            return b""
        credit = sum(size for _, size in self._chunks)
        data = b"".join(chunk for chunk, _ in self._chunks)
        self._chunks.clear()
        self._connection.acknowledge(self.id, credit)
        return data

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises GuestUnreachable if it is longer than `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                self.reset()
                raise GuestUnreachable(f"the guest agent's answer is longer than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    def reset(self) -> None:
        """Give up on this stream; the agent sees it as a caller that went away. What has come and
        was not taken counts as taken: the connection's window is everybody's."""
        self._connection.reset(self.id)
        self.take()

    async def _progress(self) -> None:
        if self._error is not None:
            raise self._error
        self._wake.clear()
        await self._wake.wait()
        if self._error is not None and not self._chunks:
            raise self._error

    # Called by the connection.

    def on_response(self, headers: Headers) -> None:
        values = dict(headers)
        status = int(values.pop(":status"))
        if not 200 <= status <= 599:
            raise ValueError(f"status {status}")
        self.status = status
        self.headers = values
        self._wake.set()

    def on_data(self, data: bytes, credit: int) -> None:
        if data:
            self._chunks.append((data, credit))
            self._wake.set()
        elif credit:  # padding only
            self._connection.acknowledge(self.id, credit)

    def on_end(self) -> None:
        self.ended = True
        self._wake.set()

    def on_error(self, error: GuestUnreachable) -> None:
        if not self.ended:
            self._error = error
        self._wake.set()

    @property
    def failed(self) -> bool:
        return self._error is not None
