"""How much of the gateway one machine's questions may take."""

import time
from collections.abc import Callable
from dataclasses import dataclass

QUESTION_S, ASKED_S, CONNECTION_S = 0.000_025, 0.000_15, 0.000_4
"""Of the loop's time, about: a question that is answered at once, or refused; what it takes more if an upstream is asked; and a
connection by TCP, without its questions."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one machine, unless it says otherwise."""

    per_second: float = 500.0  # questions, on average
    burst: int = 1000  # questions at once
    bytes_each: int = 256  # of what upstreams say; a longer answer counts as so many more questions
    refusals_per_second: float = (
        50.0  # answers that say so; more questions than that are not read at all
    )
    under_way: int = 64  # different questions that upstreams are being asked
    waiting: int = 512  # guest's questions that wait for those
    cached: int = 2048  # answers that are kept
    cached_bytes: int = 1024  # the largest of them
    connections: int = 32  # by TCP
    connections_per_second: float = 50.0  # new ones; twice as many at once
    pipelined: int = 32  # questions of one connection that wait for their answers
    idle_s: float = 10.0  # after which a connection without a question is closed


class TokenBucket:
    """`rate` tokens per second, at most `burst` at once."""

    def __init__(
        self, rate: float, burst: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._now = now
        self._tokens = burst
        self._at = now()

    def take(self) -> bool:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def spend(self, tokens: float) -> None:
        """Take what was used already, and have that much less later; no more than a burst can be owed."""
        self._tokens = max(-self._burst, self._tokens - tokens)
