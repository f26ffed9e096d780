"""Asks Redis, and goes on without it."""

from collections.abc import Sequence

import structlog

from scaigrid.limits.domain import Judgement, Window
from scaigrid.limits.script import WINDOW
from scaigrid.live.store import LiveStore, LiveStoreDown
from scaigrid.metrics.registry import Metrics

log = structlog.get_logger(__name__)


class Windows:
    """Counts a request in all of its windows, or in none."""

    def __init__(self, live: LiveStore, length_s: int, metrics: Metrics) -> None:
        self._live = live
        self._length_ms = length_s * 1000
        self._script = live.client.register_script(WINDOW)
        self._is_away = False
        self._refused = metrics.counter(
            "rate_limited", "Requests that a limit has refused, by its kind.", ["kind"]
        )
        self._unlimited = metrics.counter(
            "rate_unlimited", "Requests that were not limited, because Redis was away."
        )

    async def take(self, windows: Sequence[Window]) -> Judgement | None:
        """Count one request; None if nothing is limited, or Redis is away."""
        wanted = [window for window in windows if window.limit]
        if not wanted:
            return None
        keys = [self._live.key("rate", window.kind, window.whose) for window in wanted]
        limits = [window.limit for window in wanted]
        try:
            answer = await self._live.ask(self._script(keys, [self._length_ms, *limits]))
        except LiveStoreDown:
            self._notice(is_away=True)
            self._unlimited.inc()
            return None
        self._notice(is_away=False)
        refused, index, remaining, wait_ms = (int(each) for each in answer)
        tightest = wanted[index - 1]
        if refused:
            self._refused.labels(tightest.kind).inc()
        return Judgement(tightest, remaining, wait_ms / 1000, bool(refused))

    def _notice(self, *, is_away: bool) -> None:
        if is_away and not self._is_away:
            log.warning("nobody is limited while redis is away")
        elif self._is_away and not is_away:
            log.info("rate limits are kept again")
        self._is_away = is_away
