"""The batches of one machine on this host's disk: files that the gateway writes and the daemon uploads and removes.

A batch is `{ts_us}-{pid}.ndjson`, after the time it was begun and the process that wrote it, and has `.part` behind its
name until it is complete and on the disk. Names rise with time, whatever the clock does, and never come twice. Everything here
waits for the disk: call it on a thread, one call at a time.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaibunker.worker.gateway.flows.room import Room

SUFFIX = ".ndjson"
UNFINISHED = ".part"
NEWEST = "newest"
"""File with the number of the newest batch: that one may be gone already."""
WRITING = "writing"
"""File that is there while a gateway writes, and after one that could not put it away; last touched with a batch."""
MAX_NUMBER = 10**16 - 1
"""Sixteen digits, until the year 2286: so the names' order is the numbers'."""
_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`batch_bytes`, `batch_s`: when a batch is complete."""

    batch_bytes: int = 1024 * 1024
    batch_s: float = 10.0


LIMITS = Limits()


class Spool:
    """`folder` exists, and is nobody else's to write in. `now` in seconds since 1970; `elapsed` of a clock that never goes back."""

    def __init__(
        self,
        folder: Path,
        room: Room,
        limits: Limits = LIMITS,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._room = room
        self._limits = limits
        self._now = now
        self._elapsed = elapsed
        self._newest = 0
        self._file: int | None = None
        self._path = folder
        self._size = 0
        self._begun = 0.0

    def take_over(self) -> float | None:
        """Complete what an earlier gateway left. Returns since when it may not have written what it knew, in seconds
        since 1970; None if it has put everything away. Raises OSError."""
        self._newest = self._remembered()
        gone_since: float | None = None
        for path in sorted(self._folder.iterdir()):
            if path.name.endswith(SUFFIX + UNFINISHED):
                gone_since = max(gone_since or 0.0, path.stat().st_mtime)
                complete(path)
        marker = self._folder / WRITING
        if marker.exists():
            gone_since = max(gone_since or 0.0, marker.stat().st_mtime)
        marker.touch(mode=0o600)
        return gone_since

    def append(self, lines: bytes, *, is_urgent: bool = False) -> bool:
        """All of it, or nothing: there is no room then. What is urgent may use the last of it."""
        try:
            if not self._room.takes(self._folder, len(lines), is_urgent=is_urgent):
                return False
            if self._file is None:
                self._begin()
            self._write(lines)
        except OSError:
            return False
        if self._size >= self._limits.batch_bytes:
            with contextlib.suppress(OSError):  # it is in the file; who takes over completes it
                self.complete()
        return True

    def tick(self) -> None:
        """Complete a batch that has been open for long enough. Raises OSError."""
        if self._file is not None and self._elapsed() - self._begun >= self._limits.batch_s:
            self.complete()

    def complete(self) -> None:
        """Have the open batch on the disk, under its name. Raises OSError."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            os.fsync(file)
        finally:
            os.close(file)
        _rename(self._path)

    def close(self) -> None:
        """Complete it, and say that nothing is missing. Raises OSError."""
        self.complete()
        (self._folder / WRITING).unlink(missing_ok=True)

    def _begin(self) -> None:
        number = min(max(int(self._now() * 1_000_000), self._newest + 1), MAX_NUMBER)
        (self._folder / NEWEST).write_text(str(number))
        (self._folder / WRITING).touch(mode=0o600)
        path = self._folder / f"{number:016d}-{os.getpid()}{SUFFIX}{UNFINISHED}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._newest, self._path = number, path
        self._size, self._begun = 0, self._elapsed()

    def _write(self, lines: bytes) -> None:
        assert self._file is not None  # noqa: S101 - begun above
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            # Half a line would make the next one unreadable.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
                os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(lines)

    def _remembered(self) -> int:
        """The highest number that was ever given here, as far as anything tells."""
        numbers = [0]
        with contextlib.suppress(OSError, ValueError):
            numbers.append(int((self._folder / NEWEST).read_text()[:20]))
        for path in self._folder.iterdir():
            number = path.name.partition("-")[0]
            if SUFFIX in path.name and number.isascii() and number.isdecimal():
                numbers.append(int(number[:20]))
        return min(max(numbers), MAX_NUMBER - 1)


def complete(path: Path) -> None:
    """Keep the complete lines of a batch that was being written. Raises OSError."""
    with path.open("r+b") as file:
        file.truncate(_end_of_lines(file.fileno()))
        os.fsync(file.fileno())
        if not os.fstat(file.fileno()).st_size:
            path.unlink()
            return
    _rename(path)


def _end_of_lines(file: int) -> int:
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - _READ)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _rename(path: Path) -> None:
    path.rename(path.with_name(path.name.removesuffix(UNFINISHED)))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
