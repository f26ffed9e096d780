"""What a guest may say in HTTP/1: requests, each with the Host that the connection was opened for.

What is passed on are the guest's own bytes, and only such as every server reads alike.
"""

import re
from collections.abc import Callable

from scaibunker.worker.gateway.proxy.chunks import ChunkReader
from scaibunker.worker.gateway.proxy.refusal import Manner, Reason, Refused
from scaibunker.worker.gateway.proxy.requests import malformed, read
from scaibunker.worker.gateway.proxy.words import HEAD_WORK, LINE_WORK, UNREAD

_BARE = re.compile(rb"(?<!\r)\n")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_END = b"\r\n\r\n"
_MAX_INTERIM = 32
"""Answers before the one to a request for a websocket; each costs time. Then it is not agreed to."""


class HttpReader:
    """Judges every request of a connection; what another server is asked for is refused, also if it is permitted.

    A websocket must be asked for by the first request. What follows passes unread only once the server has agreed:
    a server that does not is asked for the next thing like any other.
    """

    def __init__(self, permit: Callable[[str], bool], limit: int) -> None:
        self._permit = permit
        self._limit = limit
        self._buffer = bytearray()
        self._answer = bytearray()
        self._chunks: ChunkReader | None = None
        self._requests = 0
        self._interim = 0
        self._scanned = 0
        self.name: str | None = None
        self.free = 0
        self.waiting = False
        self.work = 0

    @property
    def incomplete(self) -> bool:
        return bool(self._buffer) and not self.waiting

    def client(self, data: bytes) -> bytes:
        """What of it, and of what was held, may go to the server. Raises Refused, and nothing of it may."""
        self._buffer += data
        passed = bytearray()
        while self._buffer and not self.waiting:
            part = self._next()
            if part is None:
                break
            passed += part
        return bytes(passed)

    def client_end(self) -> None:
        """Raises Refused in the middle of a head."""
        if self.incomplete:
            raise malformed()

    def server(self, data: bytes) -> None:
        """Bytes of the server, while it is waited for: does it agree to a websocket?"""
        self._answer += data
        while self.waiting:
            end = self._answer.find(_END)
            if end < 0:
                self.waiting = len(self._answer) <= self._limit
                return
            found = _STATUS.match(self._answer)
            status = int(found[1]) if found else 0
            del self._answer[: end + len(_END)]
            if status == 101:
                self.free = UNREAD
            self._interim += 1
            is_interim = 100 <= status < 200 and status != 101
            self.waiting = is_interim and self._interim <= _MAX_INTERIM

    def _next(self) -> bytes | None:
        """Take off what is one thing; None: it is not complete."""
        buffer = self._buffer
        if self.free:
            part = bytes(buffer[: self.free])
            del buffer[: len(part)]
            self.free -= len(part)
            return part
        if self._chunks is not None:
            return self._chunk(self._chunks)
        return self._head()

    def _chunk(self, chunks: ChunkReader) -> bytes | None:
        self.work += LINE_WORK
        found = chunks.line(self._buffer)
        if found is None:
            return None
        line, self.free = found
        if chunks.done:
            self._chunks = None
        return line

    def _head(self) -> bytes | None:
        buffer = self._buffer
        end = buffer.find(_END, max(0, self._scanned - len(_END)))
        size = end + len(_END) if end >= 0 else len(buffer)
        if size > self._limit:
            raise Refused(Reason.HTTP_LONG, Manner.HTTP)
        if end < 0:
            if _BARE.search(buffer, max(0, self._scanned - 1)):
                raise malformed()
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        head = bytes(buffer[:size])
        del buffer[:size]
        self._judge(head)
        return head

    def _judge(self, head: bytes) -> None:
        self.work += HEAD_WORK
        request = read(head)
        if not self._permit(request.host):
            raise Refused(Reason.HTTP_HOST, Manner.HTTP, name=request.host)
        if self.name is not None and request.host != self.name:
            raise Refused(Reason.HTTP_OTHER_HOST, Manner.HTTP, status=421)
        self._requests += 1
        if request.websocket and self._requests > 1:
            raise Refused(Reason.HTTP_UPGRADE_LATE, Manner.HTTP)
        self.name = request.host
        self.waiting = request.websocket
        if request.length is None:
            self._chunks = ChunkReader()
        else:
            self.free = request.length
