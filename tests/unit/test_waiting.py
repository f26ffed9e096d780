"""The clock by which tests say how long something took."""

import asyncio
import time

from tests.waiting import LoopTime, loop_time, until


async def test_what_an_idle_loop_waits_for_counts() -> None:
    async with loop_time() as clock:
        begun = time.monotonic()
        await until(lambda: clock.seconds > 0.2)
        assert time.monotonic() - begun > 0.2 - 2 * LoopTime.TICK_S


async def test_what_holds_the_loop_up_does_not() -> None:
    async with loop_time() as clock:
        await until(lambda: clock.seconds > 0)
        before = clock.seconds
        time.sleep(0.5)
        await asyncio.sleep(0)
        assert clock.seconds - before <= 4 * LoopTime.TICK_S
