"""Local files and directories as the source of a copy.

Symbolic links below the directory are followed only to regular files within it: a checked-out
repository must not be able to send a private key along. Devices, sockets and pipes are never opened.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scaibunker.sdk.errors import TransferFailed

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceDirectory:
    """A directory; `parts` are its names below the root."""

    parts: Parts
    mode: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file; `path` is where its bytes really are."""

    parts: Parts
    path: Path


@dataclass(frozen=True, slots=True)
class SourceSkipped:
    """Something that is not copied."""

    parts: Parts
    reason: str


SourceEntry = SourceDirectory | SourceFile | SourceSkipped


@dataclass(slots=True)
class OpenSource:
    """A regular file, open. `size` bytes are read, however it grows meanwhile."""

    path: Path
    file: BinaryIO
    size: int
    mode: int

    def rewind(self) -> None:
        """Begin again."""
        self.file.seek(0)

    def read(self, count: int) -> bytes:
        """The next bytes. Raises `TransferFailed` if the file has become shorter."""
        chunk = self.file.read(count)
        if not chunk:
            raise TransferFailed(f"{self.path} became shorter while it was read")
        return chunk


@contextmanager
def opened(path: Path) -> Iterator[OpenSource]:
    """Open a regular file for reading."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TransferFailed(f"cannot read {path}: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise TransferFailed(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        yield OpenSource(path, file, status.st_size, stat.S_IMODE(status.st_mode) & 0o777)


def walk(root: Path) -> Iterator[SourceEntry]:
    """The root directory and everything below it, directories before what is in them."""
    try:
        real_root = root.resolve(strict=True)
        yield SourceDirectory((), _mode(real_root))
        yield from _below(real_root, real_root, ())
    except OSError as error:
        raise TransferFailed(f"cannot read {error.filename or root}: {error.strerror}") from None


def _below(root: Path, folder: Path, parts: Parts) -> Iterator[SourceEntry]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        below = (*parts, entry.name)
        if not _is_text(entry.name):
            yield SourceSkipped(below, "its name is not UTF-8")
        elif entry.is_symlink():
            yield _link(root, Path(entry.path), below)
        elif entry.is_dir(follow_symlinks=False):
            yield SourceDirectory(below, _mode(Path(entry.path)))
            yield from _below(root, Path(entry.path), below)
        elif entry.is_file(follow_symlinks=False):
            yield SourceFile(below, Path(entry.path))
        else:
            yield SourceSkipped(below, "not a regular file")


def _link(root: Path, path: Path, parts: Parts) -> SourceFile | SourceSkipped:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return SourceSkipped(parts, "a symbolic link that leads nowhere")
    if not target.is_relative_to(root):
        return SourceSkipped(parts, "a symbolic link that leads out of the directory")
    if not target.is_file():
        return SourceSkipped(parts, "a symbolic link that is not to a regular file")
    return SourceFile(parts, target)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o777


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
