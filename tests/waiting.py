"""How tests wait: for conditions, with a limit, never for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

What = Callable[[], object]


def _a_condition() -> object:
    return "a condition"


async def until(
    good: Callable[[], bool | Awaitable[bool]], timeout_s: float = 20, what: What = _a_condition
) -> None:
    """Wait until something is so."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                result = good()
                if isinstance(result, Awaitable):
                    result = await result
                if result:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {timeout_s} s for {what()}") from None


def wait_until(good: Callable[[], bool], timeout_s: float, what: What = _a_condition) -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + timeout_s
    while not good():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what()}"
        time.sleep(0.05)
