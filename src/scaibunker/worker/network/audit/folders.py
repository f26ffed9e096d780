"""The gateway's folders, as the daemon reads them.

The gateway may have fallen into a guest's hands: it can put anything there. So nothing is opened through a link, or that is no
plain file, or that is longer than a batch.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from scaibunker.worker.network.audit.store import BATCH, BUNKER

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Eight times what a batch is meant to have."""
FORGOTTEN_AFTER_S = 3600.0
"""A folder in which nothing is left is removed then."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BadBatch(Exception):
    """It is none: no plain file, or too long."""


class Folders:
    """Those in one. Raises OSError where nothing else is said."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def pending(self) -> dict[str, list[str]]:
        """Complete batches by bunker, in their order; bunkers without any are there too."""
        found: dict[str, list[str]] = {}
        with contextlib.suppress(FileNotFoundError), self._open_root() as root:
            for bunker_id in filter(BUNKER.match, _names(root)):
                with contextlib.suppress(OSError), self._open(bunker_id) as folder:
                    found[bunker_id] = list(filter(BATCH.match, _names(folder)))
        return found

    def read(self, bunker_id: str, batch: str) -> bytes:
        """Raises BadBatch, too."""
        with self._open(bunker_id) as folder:
            file = os.open(batch, _FILE, dir_fd=folder)
            with open(file, "rb") as content:  # noqa: PTH123 - it is a descriptor
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BATCH_BYTES:
                    raise BadBatch(f"{bunker_id}/{batch}")
                return content.read(MAX_BATCH_BYTES)

    def remove(self, bunker_id: str, batch: str) -> None:
        """Idempotent."""
        with contextlib.suppress(FileNotFoundError), self._open(bunker_id) as folder:
            os.unlink(batch, dir_fd=folder)

    def forget(self, bunker_id: str) -> None:
        """Remove the folder of a bunker that is gone, unless something is left in it or it was used lately."""
        with self._open_root() as root:
            with self._open(bunker_id) as folder:
                names = _names(folder)
                is_old = time.time() - os.fstat(folder).st_mtime > FORGOTTEN_AFTER_S
                if not is_old or any(".ndjson" in name for name in names):
                    return
                for name in names:
                    os.unlink(name, dir_fd=folder)
            os.rmdir(bunker_id, dir_fd=root)

    @contextlib.contextmanager
    def _open_root(self) -> Iterator[int]:
        root = os.open(self._root, _FOLDER)
        try:
            yield root
        finally:
            os.close(root)

    @contextlib.contextmanager
    def _open(self, bunker_id: str) -> Iterator[int]:
        with self._open_root() as root:
            folder = os.open(bunker_id, _FOLDER, dir_fd=root)
        try:
            yield folder
        finally:
            os.close(folder)


def _names(folder: int) -> list[str]:
    return sorted(os.listdir(folder))
