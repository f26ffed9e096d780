"""When what failed is tried again: later and later, but at some time."""

from scaibunker.worker.templates.shape import Shape

FIRST_S, LONGEST_S = 30.0, 3600.0
REMEMBERED = 256


class Retries:
    """Times are of the monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._failures: dict[Shape, tuple[int, float]] = {}

    def failed(self, shape: Shape, now: float) -> float:
        """Once more; returns the pause."""
        count, _ = self._failures.pop(shape, (0, 0.0))
        pause = min(FIRST_S * 2.0**count, LONGEST_S)
        self._failures[shape] = (count + 1, now + pause)
        if len(self._failures) > REMEMBERED:
            del self._failures[next(iter(self._failures))]
        return pause

    def forget(self, shape: Shape) -> None:
        """It has succeeded, or somebody knows better."""
        self._failures.pop(shape, None)

    def due_in(self, shape: Shape, now: float) -> float:
        """Seconds until it may be tried; 0 if now."""
        return max(0.0, self._failures.get(shape, (0, now))[1] - now)
