"""Logs of the gateway: JSON on stderr, and no more of it than a disk bears, whatever guests do."""

import sys
import time
from collections.abc import Callable

import structlog
from structlog.typing import EventDict, WrappedLogger

LINES_PER_MINUTE = 300
INFO = 20


class Limiter:
    """Drops what is more than `limit` lines a minute, and says afterwards how many that were."""

    def __init__(
        self, limit: int = LINES_PER_MINUTE, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._now = now
        self._minute = now() // 60
        self._lines = 0

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        minute = self._now() // 60
        if minute != self._minute:
            if self._lines > self._limit:
                event["dropped_before"] = self._lines - self._limit
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines > self._limit:
            raise structlog.DropEvent
        return event


def set_up_logs() -> None:
    structlog.configure(
        processors=[
            Limiter(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
