"""What copying between this machine and a bunker tells about itself."""

from collections.abc import Callable
from dataclasses import dataclass, field

CHUNK_BYTES = 256 * 1024
"""Bytes that are in memory of a file at a time."""
MAX_SKIPPED = 1000
"""Entries of `TransferSummary.skipped` at most: a hostile listing must not fill our memory."""

Progress = Callable[[str, int, int | None], None]
"""Called with a file's path in the bunker, its bytes copied so far, and its size if known."""


def no_progress(path: str, done: int, size: int | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was left out, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class TransferSummary:
    """What was copied. `skipped` names the first thousand of `skipped_count` entries left out."""

    files: int = 0
    bytes: int = 0
    skipped_count: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, path: str, reason: str) -> None:
        """Note an entry that is left out."""
        self.skipped_count += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append(Skipped(path, reason))
