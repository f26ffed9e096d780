"""How often to look while waiting for something: eagerly at first, then ever more calmly."""

import time
from collections.abc import Callable, Iterator

from scaibunker.wire.api.snapshots import Snapshot

_SHORTEST_S, _LONGEST_S, _SHARE = 0.05, 1.0, 0.05

SnapshotProgress = Callable[[Snapshot], None]
"""Called with a snapshot's record each time that it was looked at; `progress` in it is 0 to 1."""


def unobserved(snapshot: Snapshot) -> None:
    """Tell nobody."""


def pauses(timeout: float) -> Iterator[float]:
    """Seconds to sleep between looks, until `timeout` seconds have passed; at least one look.

    Each is a twentieth of the time waited so far: what is waited for is noticed at most 5 % late.
    """
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < timeout:
        pause = min(max(waited * _SHARE, _SHORTEST_S), _LONGEST_S)
        yield min(pause, timeout - waited)
