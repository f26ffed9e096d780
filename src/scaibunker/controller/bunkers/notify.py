"""Telling whoever waits that a bunker has changed.

Only a hint, which goes to the other replicas too: whoever waits reads the database again, and does
so from time to time without a hint, because one may get lost.
"""

import asyncio
import contextlib
import math
from weakref import WeakValueDictionary

from scaigrid.live.bus import Bus

TOPIC = "bunkers"
POLL_S = 1.0


class _Signal:
    """Weakly held, so that a bunker nobody waits for costs nothing."""

    __slots__ = ("__weakref__", "event")

    def __init__(self) -> None:
        self.event = asyncio.Event()


class Notifier:
    """One signal for each bunker that somebody waits for."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        bus.subscribe(TOPIC, self._wake)
        self._signals: WeakValueDictionary[str, _Signal] = WeakValueDictionary()

    def publish(self, bunker_id: str) -> None:
        """Wake all who wait for this bunker, in every replica."""
        self._bus.publish(TOPIC, bunker_id)

    def _wake(self, bunker_id: str) -> None:
        signal = self._signals.pop(bunker_id, None)
        if signal is not None:
            signal.event.set()

    def subscribe(self, bunker_id: str) -> _Signal:
        """A signal for the next change. Take it before reading, so that no change is missed."""
        signal = self._signals.get(bunker_id)
        if signal is None:
            self._signals[bunker_id] = signal = _Signal()
        return signal

    async def wait(self, signal: _Signal, timeout_s: float = math.inf) -> None:
        """Until the bunker changed, or for so long; at most `POLL_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(timeout_s, POLL_S))):
                await signal.event.wait()
