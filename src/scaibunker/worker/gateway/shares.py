"""The loop's time, shared out evenly: a machine that wants much of it waits for its turn, and the others do not.

Deficit round robin. Whatever is done for a machine is charged to its share, at what it takes about; once in each round of the
loop all shares that are in use gain their part of `ROUND_S`. Who has used up more than that begins nothing new until
it has gained it back. So a round is about as long as `ROUND_S` however many machines want everything, and who wants
little waits for one round at most. Time that nobody else wants is anybody's.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

ROUND_S = 0.001
"""That is done in a round for all machines together; and what one that has been quiet may do at once."""
LEAST_S = 0.000_02
"""That a share gains in a round, with however many others: a round costs something itself for each share in use."""


class LoopTime:
    """Of the event loop it is used on. `now` in seconds, of a clock that never goes back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._used: dict[Share, None] = {}
        self._is_due = False

    def share(self) -> "Share":
        """One machine's."""
        return Share(self)

    def use(self, share: "Share") -> None:
        self._used[share] = None
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        self._is_due = False
        shares = list(self._used)
        self._used.clear()
        gain = max(ROUND_S / len(shares), LEAST_S)
        waiting = [share for share in shares if share.waits]
        if waiting:
            # Rather than that rounds pass in which nobody may begin anything.
            debt = -max(share.balance for share in waiting)
            if debt >= gain:
                gain *= math.floor(debt / gain) + 1
        for share in shares:
            share.gain(gain)
        left = ROUND_S
        late: list[Share] = []
        for share in waiting:
            if left > 0:
                left -= share.go_on()
            else:
                late.append(share)
        for share in late:
            share.spend(0.0)
        # In the next round they are the first.
        self._used = dict.fromkeys((*late, *self._used))


class Share:
    """`balance`: seconds that may be used at once; below that, what is owed. `waits`: somebody waits for more."""

    def __init__(self, loop_time: LoopTime) -> None:
        self._loop_time = loop_time
        self._waiting: deque[tuple[Callable[[], None], float]] = deque()
        self._in_use = False
        self._goes_on = False
        self._left = 0.0
        self.balance = ROUND_S

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    @property
    def is_open(self) -> bool:
        """Something new may be begun now; who may not comes to `wait`, or takes its `turn`."""
        if self.balance <= 0 and not self._in_use:
            self._catch_up()
        return self.balance > 0 and (self._goes_on or not self._waiting)

    def spend(self, seconds: float) -> None:
        """Something was done that takes as long as that, or is about to be."""
        if not self._in_use:
            self._catch_up()
            self._in_use = True
            self._loop_time.use(self)
        self.balance -= seconds

    def wait(self, go_on: Callable[[], None], seconds: float = 0.0) -> None:
        """Have `go_on` called, once, when it is this machine's turn; that it takes `seconds` is charged then."""
        self.spend(0.0)
        self._waiting.append((go_on, seconds))

    async def turn(self, seconds: float) -> None:
        """Wait for it, and spend that much."""
        if self.is_open:
            self.spend(seconds)
            return
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wait(lambda: None if came.done() else came.set_result(None), seconds)
        await came

    # Called by the loop's time.

    def gain(self, seconds: float) -> None:
        """A round is over. Who waits for nothing is out of use until it spends again."""
        self.balance = min(ROUND_S, self.balance + seconds)
        self._in_use = False
        self._left = self._loop_time.now()

    def go_on(self) -> float:
        """As far as its balance goes; how much was spent."""
        before, self._goes_on = self.balance, True
        while self._waiting and self.balance > 0:
            go_on, seconds = self._waiting.popleft()
            self.spend(seconds)
            try:
                go_on()
            except Exception as error:  # of this machine; others wait for their turn
                log.error("gateway_turn_failed", exc_info=error)
        self._goes_on = False
        spent = before - self.balance
        if self._waiting:
            self.spend(0.0)
        return spent

    def _catch_up(self) -> None:
        """While it did nothing, time has passed all the same."""
        self.balance = min(ROUND_S, self.balance + self._loop_time.now() - self._left)
        self._left = self._loop_time.now()
