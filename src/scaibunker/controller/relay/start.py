"""From a caller's request for a command to what its worker is sent."""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.datastructures import QueryParams

from scaibunker.controller.permissions import Key
from scaibunker.wire.api.execs import MAX_STDIN, ExecRequest
from scaibunker.wire.guest.execs import MAX_START_LINE, ExecStart
from scaigrid.errors import PayloadTooLarge, ValidationFailed
from scaigrid.operation import Operation
from scaigrid.tracing import spans as tracing

MAX_BODY = 26 * 1024 * 1024
"""Bytes of a request: standard input in base64, and the command."""
_SLICE = 64 * 1024
TRACEPARENT = "TRACEPARENT"


def exec_claims(op: Operation, query: QueryParams, body: Mapping[str, Any]) -> None:  # noqa: ARG001
    """Running as root needs its permission."""
    if body.get("user") == "root":
        op.user.require(Key.ROOT)


def stdin_bytes(text: str | None, encoded: str | None, field: str = "stdin") -> bytes | None:
    """Standard input as bytes; None if none was given. Raises ValidationFailed, PayloadTooLarge."""
    if text is not None:
        data = text.encode()
    elif encoded is not None:
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise ValidationFailed.of(f"{field}_base64", "is not base64") from None
    else:
        return None
    if len(data) > MAX_STDIN:
        raise PayloadTooLarge(
            f"{field} is larger than {MAX_STDIN} bytes.", hint="Put it into a file first."
        )
    return data


def request_body(body: ExecRequest) -> "bytes | AsyncIterator[bytes]":
    """What the worker is sent: the line that starts the command, and standard input.

    A detached command's standard input stays open for later, unless the request brings some.
    """
    stdin = stdin_bytes(body.stdin, body.stdin_base64)
    is_shell = isinstance(body.command, str)
    without = "open" if body.detach else "none"
    mode = without if stdin is None else "body"
    start = ExecStart.model_validate(
        {
            "argv": None if is_shell else body.command,
            "shell": body.command if is_shell else None,
            "env": body.env,
            "cwd": body.cwd,
            "user": body.user,
            "timeout_s": body.timeout_s,
            "stdin": mode,
        }
    )
    line = _line(_traced(start))
    if len(line) > MAX_START_LINE:
        line = _line(start)  # a trace must not keep a command from running
    if len(line) > MAX_START_LINE:
        raise ValidationFailed.of("command", f"and env must fit into {MAX_START_LINE} bytes")
    if stdin is None:
        return line
    if len(line) + len(stdin) <= _SLICE:
        return line + stdin
    return _slices(line, stdin)


def _line(start: ExecStart) -> bytes:
    return start.model_dump_json().encode() + b"\n"


def _traced(start: ExecStart) -> ExecStart:
    """With the trace that the request is part of, so that the command may go on with it; what the
    caller has set itself stays."""
    parent = tracing.traceparent()
    if parent is None or TRACEPARENT in start.env:
        return start
    return start.model_copy(update={"env": {**start.env, TRACEPARENT: parent}})


async def _slices(line: bytes, stdin: bytes) -> AsyncIterator[bytes]:
    yield line
    view = memoryview(stdin)
    for offset in range(0, len(stdin), _SLICE):
        yield bytes(view[offset : offset + _SLICE])
