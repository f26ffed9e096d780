"""Work that is done again and again for as long as the process lives."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from scaigrid import logs
from scaigrid.db.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)


async def forever(name: str, once: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Call `once`, wait `every_s` seconds, and so on; a pass that fails is logged, no more.

    Ends by cancellation only: one refusal of the database must not end the loop for good.
    """
    logs.of_system(name)
    while True:
        try:
            await once()
        except DatabaseUnavailable as error:  # a traceback each time would bury what else is said
            log.warning("a pass of a loop failed", error=repr(error))
        except Exception:
            log.exception("a pass of a loop failed")
        await asyncio.sleep(every_s)


async def end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks and wait for them, more than once: the client of Redis loses a cancellation that
    comes at a bad moment."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)
