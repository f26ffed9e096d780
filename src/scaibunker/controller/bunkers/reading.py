"""Reading bunkers, and waiting for one to become something."""

from collections.abc import AsyncGenerator, Callable

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import Bunker, StatusChange
from scaibunker.controller.bunkers.errors import BunkerNotFound
from scaibunker.controller.bunkers.lifecycle import FINAL
from scaibunker.controller.bunkers.notify import Notifier
from scaibunker.controller.bunkers.repository import Filter
from scaigrid.db import Database
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.operation import Operation


class Reading:
    """What callers read of bunkers."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier

    async def get(self, op: Operation, bunker_id: str) -> Bunker:
        """One bunker. Raises BunkerNotFound."""
        async with self._database.read() as db:
            bunker = await repository.get(op, db, bunker_id)
        if bunker is None:
            raise BunkerNotFound
        return bunker

    async def listing(self, op: Operation, page: PageRequest, wanted: Filter) -> Slice[Bunker]:
        """A page of bunkers, newest first."""
        async with self._database.read() as db:
            return await repository.listing(op, db, page, wanted)

    async def until(
        self, op: Operation, bunker_id: str, good: Callable[[Bunker], bool], timeout_s: float
    ) -> Bunker:
        """The bunker once it is `good` or final, or as it is when the time is over."""
        deadline = op.clock.monotonic() + timeout_s
        while True:
            signal = self._notifier.subscribe(bunker_id)
            bunker = await self.get(op, bunker_id)
            left = deadline - op.clock.monotonic()
            if good(bunker) or bunker.is_final or left <= 0:
                return bunker
            await self._notifier.wait(signal, left)

    async def changes(
        self, op: Operation, bunker_id: str, after: int
    ) -> AsyncGenerator[StatusChange, None]:
        """The changes of state after a sequence number, as they happen, to the final one.

        Raises BunkerNotFound if the caller cannot reach the bunker any more.
        """
        while True:
            signal = self._notifier.subscribe(bunker_id)
            async with self._database.read() as db:
                found = await repository.changes(op, db, bunker_id, after)
            for change in found:
                after = change.sequence
                yield change
                if change.status in FINAL:
                    return
            if not found:
                bunker = await self.get(op, bunker_id)
                if bunker.is_final:
                    return  # the client has seen the last change already
                await self._notifier.wait(signal)
