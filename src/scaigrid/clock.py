"""Time as a dependency, so that what depends on it can be tested exactly."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where code asks what time it is."""

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for measuring."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only ever grow, for measuring."""
        return time.monotonic()
