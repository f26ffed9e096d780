"""How a command that fails ends: what is printed, and which code the process exits with.

People get the message, the fields, the hint and the request's id; programs get the same as JSON.
Neither ever gets a traceback for something that can be expected to happen.
"""

import json
import sys
from typing import Any

import typer

from scaibunker.cli import texts
from scaibunker.cli.exit_codes import ExitCode
from scaibunker.sdk import (
    ApiError,
    AuthenticationFailed,
    BunkerFailed,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    InvalidArgument,
    NoSpace,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    ResponseInvalid,
    ScaiBunkerError,
    SnapshotFailed,
    StreamBroken,
    Unavailable,
    ValidationFailed,
    WaitTimedOut,
)

_CODES: tuple[tuple[type[ScaiBunkerError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.USAGE),
    (InvalidArgument, ExitCode.USAGE),
    (ValidationFailed, ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (AuthenticationFailed, ExitCode.DENIED),
    (PermissionDenied, ExitCode.DENIED),
    (Conflict, ExitCode.CONFLICT),
    (QuotaExceeded, ExitCode.LIMIT),
    (RateLimited, ExitCode.LIMIT),
    (PayloadTooLarge, ExitCode.LIMIT),
    (NoSpace, ExitCode.LIMIT),
    (Unavailable, ExitCode.UNAVAILABLE),
    (ConnectionFailed, ExitCode.CONNECTION),
    (StreamBroken, ExitCode.CONNECTION),
    (ResponseInvalid, ExitCode.CONNECTION),
    (WaitTimedOut, ExitCode.WAIT_TIMED_OUT),
    (BunkerFailed, ExitCode.WAIT_TIMED_OUT),
    (SnapshotFailed, ExitCode.WAIT_TIMED_OUT),
)


class CommandError(ScaiBunkerError):
    """Something that the command line itself finds wrong."""

    def __init__(
        self, message: str, *, exit_code: ExitCode = ExitCode.USAGE, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def exit_code(error: ScaiBunkerError) -> ExitCode:
    """The code that an error ends the process with."""
    if isinstance(error, CommandError):
        return error.exit_code
    for family, code in _CODES:
        if isinstance(error, family):
            return code
    return ExitCode.FAILURE


def show(error: ScaiBunkerError, *, as_json: bool) -> None:
    """Print an error to stderr."""
    if as_json:
        sys.stderr.write(json.dumps({"error": _fields(error)}) + "\n")
        return
    code = f" [{error.code}]" if isinstance(error, ApiError) else ""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(texts.lines(f"{error.message}{code}"), err=True)
    for detail in _details(error):
        line = _detail_line(detail)
        if line != error.message:  # the only one of some errors is all that there is to say
            typer.echo(texts.lines(f"  {line}"), err=True)
    if error.hint:
        typer.echo(texts.lines(f"hint: {error.hint}"), err=True)
    if isinstance(error, StreamBroken) and error.exec_id:
        typer.echo(texts.lines(f"command: {error.exec_id}"), err=True)
    if isinstance(error, ApiError) and error.request_id:
        typer.echo(texts.lines(f"request: {error.request_id}"), err=True)


def _fields(error: ScaiBunkerError) -> dict[str, Any]:
    api = error if isinstance(error, ApiError) else None
    return {
        "code": api.code if api else type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "details": _details(error),
        "request_id": api.request_id if api else None,
        "retry_after": api.retry_after if api else None,
        "exec_id": error.exec_id if isinstance(error, StreamBroken) else None,
    }


def _details(error: ScaiBunkerError) -> list[dict[str, Any]]:
    if not isinstance(error, ApiError | InvalidArgument):
        return []
    return [detail.model_dump(mode="json", exclude_none=True) for detail in error.details]


def _detail_line(detail: dict[str, Any]) -> str:
    field, message = detail.pop("field", None), detail.pop("message", "")
    # What the message says already need not be said again.
    more = ", ".join(f"{key} {value}" for key, value in detail.items() if str(value) not in message)
    return ": ".join(part for part in (field, message, more) if part)
