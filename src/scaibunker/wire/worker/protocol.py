"""Which versions of the worker protocol one side understands, and how a refusal is worded."""

from dataclasses import dataclass

from scaibunker.wire.worker import OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION

UNSAID = 1
"""The version of a request that names none."""
_LONGEST = 9
"""Digits of a version at most."""


@dataclass(frozen=True, slots=True)
class Versions:
    """From the oldest that is understood to the newest, which is what the side itself says."""

    oldest: int
    newest: int

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.oldest <= version <= self.newest

    def __str__(self) -> str:
        return str(self.newest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"

    def older_side(self, other: int, us: str, them: str) -> str:
        """Which of the two has to be upgraded, when `other` is not understood."""
        return them if other < self.oldest else us


SPOKEN = Versions(OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION)


def version_of(header: str | None) -> int | None:
    """The version that a request names; None if that is no version."""
    if header is None:
        return UNSAID
    readable = header.isascii() and header.isdigit() and len(header) <= _LONGEST
    return int(header) if readable else None
