"""Bytes as text where they are text. Pure.

Output is text if it is UTF-8; a character is never cut in half, neither at the end of an inline
head nor between two events.
"""

import base64
import codecs
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["utf-8", "base64"]


def decode_head(data: bytes, *, truncated: bool) -> str | None:
    """The bytes as text, or None if they are not UTF-8.

    If they are the head of more, a character whose end was cut off is left out.
    """
    try:
        text, _ = codecs.utf_8_decode(data, "strict", not truncated)
    except UnicodeDecodeError:
        return None
    return text


def encode_pair(
    stdout: bytes, stderr: bytes, *, stdout_truncated: bool, stderr_truncated: bool
) -> tuple[str, str, Encoding]:
    """Both streams in one encoding: UTF-8 if both are, else base64 for both."""
    out = decode_head(stdout, truncated=stdout_truncated)
    err = decode_head(stderr, truncated=stderr_truncated)
    if out is not None and err is not None:
        return out, err, "utf-8"
    return base64.b64encode(stdout).decode(), base64.b64encode(stderr).decode(), "base64"


def preview(stdout: bytes, stderr: bytes, limit: int) -> str:
    """The first `limit` bytes of output for a log, readable whatever they are."""
    return (stdout + stderr)[:limit].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stream as it is sent in an event."""

    data: str
    encoding: Encoding


class TextStream:
    """Turns the chunks of one stream into pieces, in order and without loss.

    The first bytes of a character whose rest is still to come are held back.
    """

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> Piece | None:
        """The piece for this chunk; None if all of it is held back."""
        data = self._held + chunk
        try:
            text, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError:
            self._held = b""
            return _raw(data)
        self._held = data[used:]
        return Piece(text, "utf-8") if text else None

    def end(self) -> Piece | None:
        """What was held back for a rest that never came."""
        held, self._held = self._held, b""
        return _raw(held) if held else None


def _raw(data: bytes) -> Piece:
    return Piece(base64.b64encode(data).decode(), "base64")
