"""What a limit says of a request."""

import math
from dataclasses import dataclass

from scaigrid.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Window:
    """Whose requests are counted together, and how many there may be; 0 is without a limit."""

    kind: str
    whose: str
    limit: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of the tightest window: what is left of it, and in how many seconds there is more."""

    window: Window
    remaining: int
    reset_s: float
    is_refused: bool

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """For the answer."""
        return [
            (b"x-ratelimit-limit", b"%d" % self.window.limit),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % math.ceil(self.reset_s)),
        ]

    def refusal(self) -> RateLimited:
        """What a caller is told that has used its window up."""
        return RateLimited(
            f"The {self.window.kind} has used up its {self.window.limit} requests.",
            retry_after=math.ceil(self.reset_s),
        )
