"""JSON bodies, bounded in size and time and parsed once."""

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from scaigrid.errors import PayloadTooLarge, ValidationFailed

DISCARDED = 64 * 1024 * 1024
"""Bytes beyond the limit that are read and dropped, so that a caller that only listens once it has
sent everything hears why it is refused; one that sends more is cut off."""


class BodyAborted(ValidationFailed):
    """The caller went away before its request was complete, or before its answer was."""

    code = "REQUEST_ABORTED"
    hint = "Send the request again, and wait for its answer."


class JsonRequest(Request):
    """A request whose body is JSON whatever its content type says, of at most `limit` bytes.

    The framework asks it for `body` and `json` again; it gets what was read the first time.
    """

    def __init__(self, inner: Request, limit: int, timeout_s: float) -> None:
        super().__init__(_as_json(inner.scope), inner.receive)
        self._limit = limit
        self._timeout_s = timeout_s
        self._content: bytes | None = None
        self._value: Any = None
        self._parsed = False

    async def body(self) -> bytes:
        """The body. Raises PayloadTooLarge, or ValidationFailed if it does not arrive."""
        if self._content is None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    self._content = await self._read()
            except TimeoutError:
                raise ValidationFailed.of("body", "did not arrive in time") from None
            except ClientDisconnect:
                raise BodyAborted from None
        return self._content

    async def _read(self) -> bytes:
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self._limit + DISCARDED:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > self._limit + DISCARDED:
                break
            if size <= self._limit:
                chunks.append(chunk)
        if size > self._limit:
            raise self._too_large()
        return b"".join(chunks)

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is larger than {self._limit} bytes.")

    async def json(self) -> Any:
        """The body as JSON; None if there is no body. Raises ValidationFailed if it is none."""
        if not self._parsed:
            content = await self.body()
            self._value = parse(content) if content else None
            self._parsed = True
        return self._value


def parse(content: bytes) -> Any:
    """Bytes as JSON. Raises ValidationFailed, whatever is wrong with them."""
    try:
        value = json.loads(content.decode("utf-8"))
        if b"\\ud" in content or b"\\uD" in content:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is not text
    except UnicodeError:
        raise ValidationFailed.of("body", "is not text in UTF-8") from None
    except (ValueError, RecursionError):
        raise ValidationFailed.of("body", "is not JSON") from None
    return value


def _as_json(scope: Scope) -> Scope:
    headers = [header for header in scope["headers"] if header[0] != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}
