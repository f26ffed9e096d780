"""What a machine's resolver has answered, and until when: which addresses its permitted names stand for."""

import heapq
import ipaddress
import time
from collections.abc import Callable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_PAIRS = 16_384
"""Of address and name, for one machine. When it is full, pairs that end first make room."""
MADE_ROOM = MAX_PAIRS // 8
MAX_NAMES = 64
"""Of one address: each connection to it looks at all of them, and the owner of a wildcard could make any number. Those that end last
are kept, so that the address is open for as long as it would be with all of them."""


class Answers:
    """`now` in seconds, of a clock that never goes back. Answers that are over are forgotten when they are asked for
    or when room is needed; flows that exist by then are not touched by it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._ends: dict[Address, dict[str, float]] = {}
        self._pairs = 0

    def learn(self, name: str, address: Address, ttl_s: float) -> None:
        """`name` (lower case, no final dot, as the guest asked for it) stands for `address` that long from now."""
        names = self._ends.setdefault(address, {})
        end = self._now() + ttl_s
        if name not in names:
            if len(names) >= MAX_NAMES:
                first = min(names, key=names.__getitem__)
                if names[first] >= end:
                    return
                self._forget(address, first)
            elif self._pairs >= MAX_PAIRS:
                self._make_room()
                names = self._ends.setdefault(address, {})
            self._pairs += 1
        names[name] = max(names.get(name, 0.0), end)

    def names(self, address: Address) -> tuple[str, ...]:
        """Those that stand for it now, the last to end first; empty if none does."""
        names = self._ends.get(address)
        if names is None:
            return ()
        now = self._now()
        for name in [name for name, end in names.items() if end <= now]:
            self._forget(address, name)
        return tuple(sorted(names, key=lambda name: -names[name]))

    def lasts_s(self, address: Address) -> float:
        """Seconds for which some name stands for it; 0 if none does."""
        ends = self._ends.get(address, {}).values()
        return max(0.0, max(ends, default=0.0) - self._now())

    def retain(self, permits: Callable[[str], bool]) -> None:
        """Forget those for names that are not permitted any more."""
        pairs = [(address, name) for address, names in self._ends.items() for name in names]
        for address, name in pairs:
            if not permits(name):
                self._forget(address, name)

    def _make_room(self) -> None:
        """Those that end first go, many at a time: whoever fills it up must not have it searched for each answer."""
        pairs = [
            (end, address, name) for address, ns in self._ends.items() for name, end in ns.items()
        ]
        for _, address, name in heapq.nsmallest(MADE_ROOM, pairs, key=lambda pair: pair[0]):
            self._forget(address, name)

    def _forget(self, address: Address, name: str) -> None:
        names = self._ends[address]
        del names[name]
        self._pairs -= 1
        if not names:
            del self._ends[address]
