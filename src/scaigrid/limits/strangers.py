"""Guesses at credentials, counted by the address that they come from.

A source with too many failures is blocked until it has room again: what it sends is refused without
a look at the database. Others may share its address, so a credential that was good before, in this
process, is looked at all the same; a guess cannot get among those.
"""

import hashlib
import math
import time
from collections import OrderedDict

from scaigrid.errors import RateLimited
from scaigrid.limits.domain import Window
from scaigrid.limits.windows import Windows

MAX_BLOCKED = 10_000
"""Sources that are remembered as blocked."""
MAX_GOOD = 10_000
"""Credentials that are remembered as good, by their digests."""


class Strangers:
    """Judges requests before it is known whose they are. `limit` failures in a window are let pass."""

    def __init__(self, windows: Windows, limit: int) -> None:
        self._windows = windows
        self._limit = limit
        self._blocked: OrderedDict[str, float] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def check(self, source: str, header: str | None) -> None:
        """Raise RateLimited if nothing new is looked at from there."""
        until = self._blocked.get(source)
        if until is None:
            return
        left = until - time.monotonic()
        if left <= 0:
            del self._blocked[source]
        elif _mark(header) not in self._good:
            raise _blocked(left)

    def welcome(self, header: str | None) -> None:
        """The credential in it is good."""
        mark = _mark(header)
        self._good[mark] = None
        self._good.move_to_end(mark)
        _shorten(self._good, MAX_GOOD)

    async def fail(self, source: str, header: str | None) -> None:
        """The credential in it is not good, or there is none. Raises RateLimited."""
        self._good.pop(_mark(header), None)
        judgement = await self._windows.take([Window("address", source, self._limit)])
        if judgement is None or not judgement.is_refused:
            return
        self._blocked[source] = time.monotonic() + judgement.reset_s
        self._blocked.move_to_end(source)
        _shorten(self._blocked, MAX_BLOCKED)
        raise _blocked(judgement.reset_s)


def _mark(header: str | None) -> bytes:
    return hashlib.sha256((header or "").encode()).digest()


def _shorten(known: "OrderedDict[bytes, None] | OrderedDict[str, float]", limit: int) -> None:
    while len(known) > limit:
        known.popitem(last=False)


def _blocked(wait_s: float) -> RateLimited:
    return RateLimited(
        "Too many requests without a good credential come from this address.",
        retry_after=max(1, math.ceil(wait_s)),
    )
