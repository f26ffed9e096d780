"""Work that is done again and again for as long as the process lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from scaigrid import logs

log = structlog.get_logger(__name__)


async def forever(name: str, once: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Call `once`, wait `every_s` seconds, and so on; a pass that fails is logged, no more.

    Ends by cancellation only: one refusal of the database must not end the loop for good.
    """
    logs.of_system(name)
    while True:
        try:
            await once()
        except Exception:
            log.exception("a pass of a loop failed")
        await asyncio.sleep(every_s)
