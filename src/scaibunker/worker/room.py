"""Room on the worker's disk: what is free of its file system beyond a reserve that is left alone.

Accounting says what bunkers were promised; this says what is there. Others fill the same file system, and
bunkers' disks are sparse and grow.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from scaibunker.wire.codes import Code
from scaibunker.worker.errors import WorkerFault


@dataclass(frozen=True)
class Room:
    """On the file system that `path` is on; the reserve is for what runs already."""

    path: Path
    reserve_bytes: int

    def free(self) -> int:
        """Bytes that may be taken. Raises OSError."""
        state = os.statvfs(self.path)
        return max(0, state.f_bavail * state.f_frsize - self.reserve_bytes)

    def check(self, needed: int, what: str) -> None:
        """Raises WorkerFault unless so many bytes may be taken for `what`."""
        free = self.free()
        if free < needed:
            raise _fault(free, f"{what} needs {-(-needed >> 20)}")

    def exceeded(self, what: str) -> WorkerFault:
        """For who found the file system full while writing. Raises OSError."""
        return _fault(self.free(), f"{what} needs more")


def _fault(free: int, need: str) -> WorkerFault:
    return WorkerFault(f"the worker's disk has {free >> 20} MiB to give, {need}", Code.STORAGE_FULL)
