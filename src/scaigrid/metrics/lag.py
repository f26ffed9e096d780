"""How late the event loop is: the first sign of work that blocks it."""

import asyncio

from scaigrid.loops import forever
from scaigrid.metrics.registry import Metrics

EVERY_S = 0.25


class LoopLag:
    """Sleeps, and looks how much longer that took."""

    def __init__(self, metrics: Metrics) -> None:
        self._late = metrics.histogram(
            "event_loop_lag_seconds", "How late the event loop woke a task that slept."
        )

    async def run(self) -> None:
        """Measure, for ever."""
        await forever("loop_lag", self._once, 0)

    async def _once(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        self._late.observe(max(0.0, loop.time() - due))
