"""How often to look while waiting for something: eagerly at first, then ever more calmly."""

import time
from collections.abc import Iterator

_SHORTEST_S, _LONGEST_S, _SHARE = 0.05, 1.0, 0.05


def pauses(timeout: float) -> Iterator[float]:
    """Seconds to sleep between looks, until `timeout` seconds have passed; at least one look.

    Each is a twentieth of the time waited so far: what is waited for is noticed at most 5 % late.
    """
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < timeout:
        pause = min(max(waited * _SHARE, _SHORTEST_S), _LONGEST_S)
        yield min(pause, timeout - waited)
