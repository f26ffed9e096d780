"""When a request is sent again, and how long to wait before.

Three grades of request: one that surely never reached the server may always be sent again; one
that may have been acted on only if acting twice is harmless (`repeatable`: reads, replacements, and
creates, which carry an Idempotency-Key); everything else, a command above all, never.

Pure rules; the sleeping is the transport's.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from scaibunker.sdk.errors import ApiError, ConnectionFailed, QuotaExceeded

_PASSING_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all; waits double from `base_delay` to `max_delay` seconds, with jitter.

    A `Retry-After` longer than `max_retry_after` is the caller's to wait out, not ours.
    """

    attempts: int = 4
    base_delay: float = 0.2
    max_delay: float = 5.0
    max_retry_after: float = 30.0
    jitter: Callable[[], float] = random.random

    def delay(
        self, error: ApiError | ConnectionFailed, *, attempt: int, repeatable: bool, reads: bool
    ) -> float | None:
        """Seconds to wait before attempt `attempt + 1` (counted from 1), or None to give up.

        `reads` says that the request changes nothing, so that any passing failure may be retried.
        """
        if attempt >= self.attempts:
            return None
        if isinstance(error, ConnectionFailed):
            again = repeatable or not error.may_have_run
            return self.backoff(attempt) if again else None
        return self._after_answer(error, attempt, repeatable=repeatable, reads=reads)

    def _after_answer(
        self, error: ApiError, attempt: int, *, repeatable: bool, reads: bool
    ) -> float | None:
        if not repeatable or isinstance(error, QuotaExceeded):
            return None
        if error.status not in _PASSING_STATUSES:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.max_retry_after else None
        return self.backoff(attempt) if reads else None

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after so many attempts."""
        longest = min(self.max_delay, self.base_delay * 2.0 ** (attempt - 1))
        return float(longest * (0.5 + 0.5 * self.jitter()))


NO_RETRIES = RetryPolicy(attempts=1)
