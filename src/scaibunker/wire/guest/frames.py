"""Command output on the wire: the same bytes from the guest agent to the controller.

A frame is one byte of kind, four bytes of payload length (big endian), the payload. A stream of
frames ends with exactly one `EXIT` or `ERROR`; a stream that ends without one is broken,
and no exit code may be made up for it.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

HEADER = struct.Struct(">BI")
MAX_PAYLOAD = 64 * 1024
"""Bytes a frame may carry; a longer length means that the other side lies or is broken."""
CONTENT_TYPE = "application/vnd.scaibunker.frames"


class Kind(IntEnum):
    """What a frame carries."""

    STDOUT = 1
    STDERR = 2
    EXIT = 3
    """JSON: `exit_code` int or null, `signal` str or null, `timed_out` bool, `duration_ms` int."""
    ERROR = 4
    """JSON: `code`, `message`. The command's fate is unknown or it never started."""
    STARTED = 5
    """JSON: `pid`. The first frame, sent when the process exists."""
    GAP = 6
    """JSON: `bytes`. That many bytes of this stream of frames were lost before this point."""
    KEEPALIVE = 7
    """Empty; proves that the other side lives. Never stored."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `payload` is bytes as they came."""

    kind: Kind
    payload: bytes

    def json(self) -> dict[str, Any]:
        """The payload as a JSON object. Raises ValueError if it is not one."""
        try:
            value = json.loads(self.payload)
        except RecursionError:
            raise ValueError(f"{self.kind.name} frame is nested too deeply") from None
        if not isinstance(value, dict):
            raise ValueError(f"{self.kind.name} frame carries no JSON object")
        return value


class FrameError(ValueError):
    """The bytes are not a stream of frames."""


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(kind, len(payload)) + payload


def encode_json(kind: Kind, value: dict[str, Any]) -> bytes:
    """One frame with a JSON payload as bytes."""
    return encode(kind, json.dumps(value, separators=(",", ":")).encode())


class Decoder:
    """Cuts a byte stream into frames; keeps an unfinished frame for the next feed."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames that are complete after `data`. Raises FrameError on a malformed header."""
        buffer = self._buffer
        buffer += data
        position = 0
        try:
            while len(buffer) - position >= HEADER.size:
                kind, length = HEADER.unpack_from(buffer, position)
                if length > MAX_PAYLOAD or not Kind.STDOUT <= kind <= Kind.KEEPALIVE:
                    raise FrameError(f"frame of kind {kind} and {length} bytes")
                end = position + HEADER.size + length
                if len(buffer) < end:
                    break
                payload = bytes(buffer[position + HEADER.size : end])
                position = end
                yield Frame(Kind(kind), payload)
        finally:
            del buffer[:position]
