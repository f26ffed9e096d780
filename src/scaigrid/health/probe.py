"""Looking at one part of the system, without being held up by it.

However many ask: a look is under way once at most, nobody waits for it longer than its limit, and
its finding is good for a moment. So a part that hangs does not hang the answer, and strangers who
ask in a circle do no work to it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.live.store import LiveStoreDown

log = structlog.get_logger(__name__)

Look = Callable[[], Awaitable[Sequence[str]]]
"""What is wrong; empty if nothing is. May raise."""

NO_ANSWER = "it does not answer"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look has found. `seconds` is None if it has not ended."""

    faults: tuple[str, ...]
    seconds: float | None = None


class Probe:
    """One part. `needed`: requests cannot be served without it."""

    def __init__(
        self, name: str, look: Look, *, needed: bool, limit_s: float = 2.0, keep_s: float = 0.5
    ) -> None:
        self.name = name
        self.needed = needed
        self._look = look
        self._limit_s = limit_s
        self._keep_s = keep_s
        self._finding = Finding(())
        self._good_until = 0.0
        self._running: asyncio.Task[None] | None = None

    async def finding(self) -> Finding:
        """What there is to say about the part now."""
        if time.monotonic() < self._good_until:
            return self._finding
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        # Breaking off a look may hang as well: what cannot be ended is left behind, and is still
        # the one that is under way.
        await asyncio.wait((self._running,), timeout=self._limit_s + 0.1)
        return self._finding if self._running.done() else Finding((NO_ANSWER,))

    async def _run(self) -> None:
        begun = time.monotonic()
        faults: Sequence[str]
        try:
            async with asyncio.timeout(self._limit_s):
                faults = await self._look()
        except (DatabaseUnavailable, LiveStoreDown, TimeoutError):
            faults = [NO_ANSWER]
        except Exception:
            log.exception("a part cannot be looked at", part=self.name)
            faults = ["it cannot be looked at"]
        if faults:
            log.warning("not healthy", part=self.name, faults=list(faults))
        self._finding = Finding(tuple(faults), time.monotonic() - begun)
        self._good_until = time.monotonic() + self._keep_s
