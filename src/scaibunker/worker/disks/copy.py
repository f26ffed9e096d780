"""Copying a disk's file: shared blocks where the file system has them, else what is not a hole."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from scaibunker.worker.threads import check

FICLONE = 0x40049409
CHUNK = 8 * 1024 * 1024
NO_CLONE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS)

Done = Callable[[int], None]
"""Called with so many bytes more."""


def unseen(_more: int) -> None:
    """A `Done` for what is copied before anybody looks."""


def extents(descriptor: int, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Offset and length of what is not a hole, between `begin` and `end` (the file's own by default)."""
    size = os.fstat(descriptor).st_size
    position, end = begin, size if end is None else min(end, size)
    while position < end:
        try:
            begin = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        if begin >= end:
            return
        position = min(os.lseek(descriptor, begin, os.SEEK_HOLE), end)
        yield begin, position - begin


def copy_sparse(source: Path, target: Path, stop: threading.Event, done: Done) -> None:
    """Make `target`, readable by us alone. Raises OSError, Stopped; what is there then is worthless."""
    with source.open("rb") as reader, target.open("xb") as writer:
        target.chmod(0o600)
        if _cloned(reader.fileno(), writer.fileno()):
            return
        os.truncate(writer.fileno(), os.fstat(reader.fileno()).st_size)
        for begin, length in extents(reader.fileno()):
            position, end = begin, begin + length
            while position < end:
                check(stop)
                size = min(CHUNK, end - position)
                copied = os.copy_file_range(
                    reader.fileno(), writer.fileno(), size, position, position
                )
                if not copied:
                    raise OSError(errno.EIO, "the disk became shorter while it was copied")
                position += copied
                done(copied)


def _cloned(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        if error.errno in NO_CLONE:
            return False
        raise
    return True
