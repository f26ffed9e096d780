"""Work that is done again and again for as long as the process lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)


async def forever(name: str, once: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Call `once`, wait `every_s` seconds, and so on; a pass that fails is logged, no more.

    Ends by cancellation only: one refusal of the database must not end the loop for good.
    """
    while True:
        try:
            await once()
        except Exception:
            log.exception("a pass of a loop failed", loop=name)
        await asyncio.sleep(every_s)
