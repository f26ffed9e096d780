"""Since when this replica knows that bunkers are as they are.

What was seen of a machine before that may be older than the row, because another replica may have
changed the row in between. In memory: a replica that knows nothing asks the worker once more.
"""

from collections import OrderedDict

from scaibunker.controller.bunkers.domain import Bunker
from scaigrid.clock import Clock

MAX_KNOWN = 50_000
"""Bunkers that are remembered; beyond that the one that was read longest ago is forgotten."""


class Revisions:
    """When each bunker's present revision was first read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def read(self, bunker: Bunker) -> float:
        """A bunker was just read like this; returns when (`Clock.monotonic`) it first was so."""
        revision, at = self._first.pop(bunker.id, (-1, 0.0))
        if revision != bunker.revision:
            at = self._clock.monotonic()
        self._first[bunker.id] = (bunker.revision, at)
        if len(self._first) > MAX_KNOWN:
            self._first.popitem(last=False)
        return at

    def forget(self, bunker_id: str) -> None:
        """It has ended."""
        self._first.pop(bunker_id, None)
