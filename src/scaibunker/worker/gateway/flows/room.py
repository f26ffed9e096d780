"""How much of this host's disk the records of flows may take: for one machine, for all, and of what is free."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
COUNT_AGAIN_S = 10.0
BLOCK = 4096
"""Bytes that the smallest file takes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes. `one`: of one machine's folder; `all`: of all folders together; `free`: left free on the file system.
    `urgent`: on top of the first two for lines that say how many are missing."""

    one: int = 64 * MIB
    all: int = 1024 * MIB
    free: int = 256 * MIB
    urgent: int = 64 * 1024


BOUNDS = Bounds()


class Room:
    """Of the folders below one. Counted anew every few seconds, since the daemon removes what it has uploaded; in
    between what is written is added up. For all threads."""

    def __init__(
        self,
        bounds: Bounds = BOUNDS,
        elapsed: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] | None = None,
    ) -> None:
        self._bounds = bounds
        self._elapsed = elapsed
        self._free = free or _free
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._counted: float | None = None

    def takes(self, folder: Path, more: int, *, is_urgent: bool = False) -> bool:
        """Whether `more` bytes may be written into a folder; they count as written then. Raises OSError."""
        extra = self._bounds.urgent if is_urgent else 0
        with self._lock:
            if self._counted is None or self._elapsed() - self._counted >= COUNT_AGAIN_S:
                self._used = {each.name: _used(each) for each in folder.parent.iterdir()}
                self._counted = self._elapsed()
            own = self._used.get(folder.name, 0) + more
            if own > self._bounds.one + extra:
                return False
            if sum(self._used.values()) + more > self._bounds.all + extra:
                return False
            if self._free(folder) - more < self._bounds.free - extra:
                return False
            self._used[folder.name] = own
            return True


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _used(folder: Path) -> int:
    """The daemon may remove anything of it meanwhile."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    total += max(entry.stat(follow_symlinks=False).st_size, BLOCK)
                except FileNotFoundError:
                    continue
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return total
