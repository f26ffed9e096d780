"""How long an answer is waited for: less if nobody is there to give it than if whoever gives it is busy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

ASKED_BEFORE_S = 4.0
"""How long before the time is over it is asked whether the other side is well."""


@contextlib.asynccontextmanager
async def in_time(
    within_s: float | None, patience_s: float | None, is_well: Callable[[], Awaitable[bool]]
) -> AsyncIterator[None]:
    """Raise TimeoutError if the block takes longer than `within_s`; with `patience_s`, if it takes longer than that,
    or than `within_s` since the other side was well. Without `within_s` there is no limit."""
    async with asyncio.timeout(within_s) as limit:
        if within_s is None or patience_s is None:
            yield
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        asking: list[asyncio.Task[None]] = []

        def ask() -> None:
            asking.append(loop.create_task(_put_off(limit, within_s, deadline, is_well)))

        # Most answers come at once: a timer costs less than a task.
        timer = loop.call_later(within_s - min(ASKED_BEFORE_S, within_s / 2), ask)
        try:
            yield
        finally:
            timer.cancel()
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)


async def _put_off(
    limit: asyncio.Timeout,
    within_s: float,
    deadline: float,
    is_well: Callable[[], Awaitable[bool]],
) -> None:
    """Let `limit` be later, again and again until `deadline`, as long as the other side is well."""
    loop = asyncio.get_running_loop()
    while loop.time() < deadline and await is_well():
        limit.reschedule(min(loop.time() + within_s, deadline))
        await asyncio.sleep(within_s / 2)
