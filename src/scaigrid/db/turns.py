"""Standing in line for a connection: first come, first served.

A pool by itself lets whoever comes at the right moment overtake those who wait, and under load some
wait for long.
"""

import asyncio

from scaigrid.db.errors import DatabaseBusy


class Turns:
    """So many at once; whoever waits longer than `patience_s` is sent away."""

    def __init__(self, places: int, patience_s: float) -> None:
        self._free = asyncio.Semaphore(places)
        self._patience_s = patience_s

    async def __aenter__(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            raise DatabaseBusy("All connections to the database are in use.") from None

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
