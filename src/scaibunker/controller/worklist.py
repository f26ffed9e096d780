"""One task for each thing that needs work: ordered for one thing, parallel between things."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Generic, TypeVar

import structlog

from scaigrid.db.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Hashable)


class Worklist(Generic[K]):
    """Runs `work(key)` for every key that is hinted at.

    Never twice at once for one key; a hint that arrives in the middle of a run makes another run
    follow. At most `concurrency` keys at a time. A run that raises is logged; the next hint or the
    timer brings the key back.
    """

    def __init__(self, work: Callable[[K], Awaitable[None]], concurrency: int) -> None:
        self._work = work
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._again: set[K] = set()
        self._closed = False

    def hint(self, key: K) -> None:
        """Have this key looked at soon."""
        if self._closed:
            return
        if key in self._tasks:
            self._again.add(key)
        else:
            self._tasks[key] = asyncio.create_task(self._run(key))

    @property
    def at_work(self) -> Collection[K]:
        """The keys that are being looked at, or wait for it."""
        return self._tasks.keys()

    async def _run(self, key: K) -> None:
        try:
            while True:
                self._again.discard(key)
                async with self._slots:
                    try:
                        await self._work(key)
                    except DatabaseUnavailable as error:  # of thousands of keys at once
                        log.warning("work failed", key=key, error=repr(error))
                    except Exception:
                        log.exception("work failed", key=key)
                if key not in self._again:
                    return
        finally:
            del self._tasks[key]

    async def close(self) -> None:
        """Break off what runs, and take no more hints."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
