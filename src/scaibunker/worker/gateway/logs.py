"""Logs of the gateway: JSON on stderr, and no more of it than a disk bears, whatever guests do."""

import os
import sys
import time
from collections.abc import Callable
from io import TextIOBase
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

LINES_PER_MINUTE = 300
MAX_BYTES = 32 * 1024 * 1024
"""Of the file; then it begins anew: no other can be opened from where the gateway is."""
LOOK_EVERY = 100
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


class LogFile(TextIOBase):
    """Writes to an open file that others may read, and never raises: a full disk is no reason to stop serving."""

    def __init__(self, file: int, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._file = file
        self._max_bytes = max_bytes
        self._writes = 0

    def write(self, text: str) -> int:
        try:
            if self._writes % LOOK_EVERY == 0 and os.fstat(self._file).st_size > self._max_bytes:
                os.ftruncate(self._file, 0)  # it is opened for appending
            self._writes += 1
            os.write(self._file, text.encode())
        except OSError:
            pass
        return len(text)


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
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", LogFile(sys.stderr.fileno()))),
        cache_logger_on_first_use=True,
    )
