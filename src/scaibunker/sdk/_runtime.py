"""The two ways to wait: what an `a`-name does for asyncio, its namesake does for threads.

The generator of the blocking client replaces `acall` by `call` and `asleep` by `sleep`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

AsyncSleep = Callable[[float], Awaitable[None]]
Sleep = Callable[[float], None]


async def acall(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking code (files) in a thread."""
    return await asyncio.to_thread(function, *args, **kwargs)


def call(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking code here."""
    return function(*args, **kwargs)


async def asleep(seconds: float) -> None:
    """Let others run for a while."""
    await asyncio.sleep(seconds)


def sleep(seconds: float) -> None:
    """Do nothing for a while."""
    time.sleep(seconds)
