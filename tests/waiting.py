"""How tests wait: for conditions, with a limit, never for a fixed time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

STARVED = 6
"""How many times as long something may take on a host that has no time for it."""
PATIENT_S = 60
"""For time-outs of what is tested that are not what is tested: a virtual host may stand still for ten seconds, and all that
waits in it has waited for so long then."""
A_WHILE_S = 3
"""The same where what is tested has to find out that something is away."""
What = Callable[[], object]


def _a_condition() -> object:
    return "a condition"


async def until(
    good: Callable[[], bool | Awaitable[bool]], timeout_s: float = 20, what: What = _a_condition
) -> None:
    """Wait until something is so, for so many seconds of the event loop's own time (`LoopTime`)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STARVED * timeout_s), loop_time() as clock:
            while clock.seconds < timeout_s:
                result = good()
                if isinstance(result, Awaitable):
                    result = await result
                if result:
                    return
                await asyncio.sleep(0.02)
    raise AssertionError(f"waited {timeout_s} s for {what()}")


def wait_until(
    good: Callable[[], bool], timeout_s: float, what: What = _a_condition, *, every_s: float = 0.05
) -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + timeout_s
    while not good():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what()}"
        time.sleep(every_s)


class LoopTime:
    """How long this event loop has run, in seconds: what a test says of how long something takes.

    On a busy host a process stands still for seconds, and what is measured by the wall clock then says
    nothing of the code. Here each tick counts, however late it is, as no more than two.
    """

    TICK_S = 0.02

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(self.TICK_S)
            self.seconds += min(time.monotonic() - begun, 2 * self.TICK_S)


@contextlib.asynccontextmanager
async def loop_time() -> AsyncIterator[LoopTime]:
    """Such a clock, which runs in the block."""
    clock = LoopTime()
    ticking = asyncio.create_task(clock.run())
    try:
        yield clock
    finally:
        ticking.cancel()
