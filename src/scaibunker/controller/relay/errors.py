"""What can go wrong with a command or a file, and what a worker's codes become for a caller."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from scaibunker.controller.bunkers.errors import BunkerNotRunning
from scaibunker.controller.permissions import Key
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.wire.codes import Code
from scaigrid.errors import (
    GridError,
    Kind,
    PayloadTooLarge,
    PermissionDenied,
    RangeNotSatisfiable,
    RateLimited,
    ValidationFailed,
    detail,
)


class ExecNotFound(GridError):
    """There is no such command."""

    kind = Kind.NOT_FOUND
    code = Code.EXEC_NOT_FOUND


class ExecNotRunning(GridError):
    """The command does not run, or cannot be reached this way."""

    kind = Kind.CONFLICT
    code = Code.EXEC_NOT_RUNNING


class FileMissing(GridError):
    """There is no such file."""

    kind = Kind.NOT_FOUND
    code = Code.FILE_NOT_FOUND


class FileIsDirectory(GridError):
    """The path is a directory."""

    kind = Kind.CONFLICT
    code = Code.FILE_IS_DIRECTORY
    hint = "Name a file. A directory is listed, or deleted with what is in it by `recursive=true`."


class FileAlreadyExists(GridError):
    """There is a file of that name already."""

    kind = Kind.CONFLICT
    code = Code.FILE_EXISTS


class FileNoSpace(GridError):
    """The bunker's disk is full."""

    kind = Kind.NO_SPACE
    code = Code.FILE_NO_SPACE
    hint = "Delete files, or use a bunker with a larger disk_mb."


_AS_ARE: Mapping[str, type[GridError]] = MappingProxyType(
    {
        error.code: error
        for error in (
            ExecNotFound,
            ExecNotRunning,
            FileMissing,
            FileIsDirectory,
            FileAlreadyExists,
            FileNoSpace,
            PayloadTooLarge,
            BunkerNotRunning,
        )
    }
)
MAX_MESSAGE = 500
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
"""What a guest may call a field."""


def translate(refusal: WorkerRefused) -> GridError:
    """A worker's refusal as the error that a caller gets."""
    message = refusal.message[:MAX_MESSAGE]
    known = _AS_ARE.get(refusal.code)
    if known is not None:
        return known(message or None)
    match refusal.code:
        case Code.FILE_PERMISSION_DENIED:
            return PermissionDenied(
                message or "The user of this operation may not do this inside the bunker.",
                hint=f"With the permission {Key.ROOT}, try again with user=root.",
            )
        case Code.FILE_NOT_DIRECTORY:
            return ValidationFailed.of("path", message or "a part of it is not a directory")
        case Code.RATE_LIMITED:  # so many commands run in the bunker at a time
            return RateLimited(f"{message.rstrip('.')}. Nothing was done.", retry_after=1)
        case Code.RANGE_NOT_SATISFIABLE:
            return RangeNotSatisfiable(message or None, size=refusal.size)
        case Code.VALIDATION_ERROR:
            named = refusal.field is not None and _FIELD.fullmatch(refusal.field)
            field = refusal.field if named and refusal.field else "request"
            return ValidationFailed(message or None, details=[detail(field, message)])
        case Code.BUNKER_NOT_FOUND:
            # The row says it runs, the worker has no such machine: the reconciler will find out.
            return BunkerNotRunning("The bunker's machine is not there any more.")
        case Code.GUEST_UNREACHABLE:
            return WorkerUnreachable(
                "The bunker's agent did not answer. What was asked of it may have been done."
            )
    return WorkerUnreachable(
        "The bunker's worker failed to do this. It may have been done in part."
    )
