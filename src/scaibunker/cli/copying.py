"""What `cp` means by its arguments: which file goes where, as with the `cp` that everybody knows."""

import os
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path

from scaibunker.cli.failures import CommandError
from scaibunker.cli.values import User
from scaibunker.sdk import (
    FileEntry,
    Files,
    NotFound,
    Progress,
    TransferSummary,
    ValidationFailed,
)

STANDARD = "-"
_READ_BYTES = 256 * 1024
_NO_NAMES = ("", ".", "..")


def upload(
    files: Files, source: str, path: str, *, recursive: bool, user: User, progress: Progress
) -> TransferSummary:
    """From a local path to one in the bunker."""
    local = Path(source)
    name = os.path.basename(source.rstrip("/"))  # noqa: PTH119 (pathlib drops a last dot)
    if local.is_dir():
        _needs_recursive(source, recursive)
        target = path if name in _NO_NAMES else _named(files, path, name, user)
        return files.upload_directory(local, target, user=user, on_progress=progress)
    target = _named(files, path, name, user)
    entry = files.upload_file(local, target, user=user, on_progress=progress)
    return TransferSummary(files=1, bytes=entry.size)


def upload_stdin(files: Files, descriptor: int, path: str, *, user: User) -> TransferSummary:
    """From standard input to a file in the bunker."""
    if path.endswith("/"):
        raise CommandError("standard input has no name: the target must be a file, not a directory")
    entry = files.write(path, _chunks(descriptor), user=user)
    return TransferSummary(files=1, bytes=entry.size)


def download(
    files: Files, path: str, target: str, *, recursive: bool, user: User, progress: Progress
) -> TransferSummary:
    """From a path in the bunker to a local one."""
    name = posixpath.basename(path.rstrip("/"))
    whole = posixpath.normpath(path)
    local = Path(target)
    into = target.endswith("/") or local.is_dir()
    if _directory(files, files.stat(whole, user=user), user):
        _needs_recursive(path, recursive)
        local = local / name if local.is_dir() and name not in _NO_NAMES else local
        return files.download_directory(whole, local, user=user, on_progress=progress)
    local = local / name if into else local
    count = files.download_file(whole, local, user=user, on_progress=progress)
    return TransferSummary(files=1, bytes=count)


def download_stdout(files: Files, path: str, *, user: User) -> TransferSummary:
    """From a file in the bunker to standard output."""
    count = 0
    with files.stream(path, user=user) as chunks:
        for chunk in chunks:
            count += sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    return TransferSummary(files=1, bytes=count)


def _named(files: Files, path: str, name: str, user: User) -> str:
    """The target's path: below it, under the source's own name, if it is a directory."""
    if path.endswith("/"):
        return path + name
    try:
        entry = files.stat(path, user=user)
    except NotFound:
        return path
    return f"{path}/{name}" if _directory(files, entry, user) else path


def _directory(files: Files, entry: FileEntry, user: User) -> bool:
    """Whether it is a directory, or a link to one."""
    if entry.type != "symlink":
        return entry.type == "directory"
    try:
        next(files.list(entry.path, user=user, page_size=1), None)
    except (NotFound, ValidationFailed):
        return False
    return True


def _needs_recursive(source: str, recursive: bool) -> None:
    if not recursive:
        raise CommandError(f"{source} is a directory", hint="copy it with -r")


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _READ_BYTES):
        yield chunk
