"""Slots that are made ahead, so that a machine need not wait for one."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.slot import Slot

log = structlog.get_logger(__name__)

RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
CALM_S = 0.2
"""Whoever has just taken one has something better to do with the host's cores."""


class Pool:
    """`size` of them wait, closed and nobody's. `make` and `destroy` raise WorkerFault; of what `make` could not make,
    nothing is left."""

    def __init__(
        self,
        size: int,
        make: Callable[[], Awaitable[Slot]],
        destroy: Callable[[Slot], Awaitable[None]],
    ) -> None:
        self._size = size
        self._make = make
        self._destroy = destroy
        self._ready: deque[Slot] = deque()
        self._wanted = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._ready)

    def start(self) -> None:
        """Begin to fill it. Idempotent."""
        if self._filling is None and self._size:
            self._wanted.set()
            self._filling = asyncio.create_task(self._fill(), name="network slots")

    async def take(self) -> Slot:
        """One that is ready, else one that is made now. Raises WorkerFault."""
        self._wanted.set()
        if self._ready:
            return self._ready.popleft()
        return await self._make()

    async def close(self) -> None:
        """Take down those that are nobody's."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
            self._filling = None
        while self._ready:
            with contextlib.suppress(WorkerFault):  # the next daemon finds what is left
                await self._destroy(self._ready.popleft())

    async def _fill(self) -> None:
        pause = RETRY_S
        while True:
            await self._wanted.wait()
            await self._until_calm()
            self._wanted.clear()
            while len(self._ready) < self._size:
                try:
                    self._ready.append(await self._make())
                except WorkerFault as fault:
                    log.warning("network_slot_not_made", reason=fault.message)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_RETRY_S)
                else:
                    pause = RETRY_S

    async def _until_calm(self) -> None:
        """None was taken for a moment; or none is left."""
        while self._ready:
            self._wanted.clear()
            try:
                async with asyncio.timeout(CALM_S):
                    await self._wanted.wait()
            except TimeoutError:
                return
