"""The framing of chunked bodies (RFC 9112, 7.1), in its plainest form only: every server must read the same of it."""

import re
from enum import Enum, auto

from scaibunker.worker.gateway.proxy.refusal import Manner, Reason, Refused

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_MAX_LINE = 8192
_MAX_TRAILERS = 16 * 1024
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"upgrade", b"connection"))


class _At(Enum):
    SIZE = auto()
    END_OF_DATA = auto()
    TRAILERS = auto()


class ChunkReader:
    """`line` says how many bytes of data follow it. Extensions of chunks are refused: nobody needs them, and servers
    differ about where they end."""

    def __init__(self) -> None:
        self._at = _At.SIZE
        self._trailers = 0
        self.done = False

    def line(self, buffer: bytearray) -> tuple[bytes, int] | None:
        """Take a line off: itself, and how much data comes after it. None: it is not complete. Raises Refused."""
        end = buffer.find(b"\n")
        if end < 0:
            if len(buffer) > _MAX_LINE:
                raise _malformed()
            return None
        line = bytes(buffer[: end + 1])
        if end > _MAX_LINE or not line.endswith(b"\r\n"):
            raise _malformed()
        del buffer[: end + 1]
        return line, self._read(line[:-2])

    def _read(self, line: bytes) -> int:
        if self._at is _At.SIZE:
            if not _SIZE.fullmatch(line):
                raise _malformed()
            size = int(line, 16)
            self._at = _At.END_OF_DATA if size else _At.TRAILERS
            return size
        if self._at is _At.END_OF_DATA:
            if line:
                raise _malformed()
            self._at = _At.SIZE
            return 0
        if not line:
            self.done = True
            return 0
        self._trailers += len(line)
        name = line.partition(b":")[0].lower().replace(b"_", b"-")
        if self._trailers > _MAX_TRAILERS or not _TRAILER.fullmatch(line) or name in _FRAMING:
            raise _malformed()
        return 0


def _malformed() -> Refused:
    return Refused(Reason.HTTP_CHUNK, Manner.HTTP)
