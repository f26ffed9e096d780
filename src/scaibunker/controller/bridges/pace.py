"""How often something is tried that does not come to its end: less and less often."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LONGEST_S = 30.0


class Pace(Generic[K]):
    """`first_s`: seconds between the first two tries. What need not be tried any more begins anew the next time."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._next: dict[K, tuple[float, float]] = {}

    def due(self, keys: Iterable[K], now: float) -> list[K]:
        """Those of all that there are to try whose turn it is; `now` in seconds of a clock that does not go back."""
        known, self._next = self._next, {}
        found = []
        for key in keys:
            at, pause = known.get(key, (now, self._first_s))
            if now >= at:
                found.append(key)
                at, pause = now + pause, min(2 * pause, LONGEST_S)
            self._next[key] = at, pause
        return found
