"""When a bunker was last used. Kept in memory and written once a second, not once a command.

Other replicas see only what is written. So a bunker is ended `GRACE` later than its idle time-out says,
and a use that begins within that time is written before anything else is done.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import bindparam, update

from scaibunker.controller.bunkers.tables import bunkers
from scaigrid.clock import Clock, SystemClock
from scaigrid.db.batch import BatchWriter
from scaigrid.loops import forever
from scaigrid.operation import system_operation
from scaigrid.tenancy.scope import everywhere

FLUSH_S = 1.0
GRACE = timedelta(seconds=3)
"""How much later than it was written a bunker may have been used: some times `FLUSH_S`."""
_OP = system_operation("activity", SystemClock())
"""Written for bunkers that were found in their callers' scope."""
_TOUCH = (
    update(bunkers)
    .where(
        bunkers.c.id == bindparam("bunker"),
        bunkers.c.last_activity_at < bindparam("at"),
        everywhere(_OP, bunkers),
    )
    .values(last_activity_at=bindparam("at"))
)


class Activity:
    """Commands, files and shells report here.

    What is lost by a crash is at most the last second's uses; a bunker that is in use when its
    limit passes is looked at again here, not in the database.
    """

    def __init__(self, writer: BatchWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._fresh: dict[str, datetime] = {}
        self._handed: dict[str, datetime] = {}
        self._users: Counter[str] = Counter()

    def touch(self, bunker_id: str) -> None:
        """It was used just now."""
        self._fresh[bunker_id] = self._clock.now()

    @contextlib.contextmanager
    def use(self, bunker_id: str) -> Iterator[None]:
        """It is in use for as long as the block runs."""
        self._users[bunker_id] += 1
        self.touch(bunker_id)
        try:
            yield
        finally:
            self._users[bunker_id] -= 1
            if not self._users[bunker_id]:
                del self._users[bunker_id]
            self.touch(bunker_id)

    def latest(self, bunker_id: str, stored: datetime) -> datetime:
        """When it was last used, what is not yet written included."""
        if bunker_id in self._users:
            return self._clock.now()
        fresh = self._fresh.get(bunker_id) or self._handed.get(bunker_id)
        return max(stored, fresh) if fresh else stored

    async def secure(self, bunker_id: str, idle_at: datetime | None) -> bool:
        """Use a bunker whose idle time is over at that moment, as far as is written: if it is, any
        replica may end it, so that the use is written now. Returns whether it was: the bunker must
        be read again, because it may have been ended just before. Raises DatabaseUnavailable."""
        if idle_at is None or self._clock.now() < idle_at:
            return False
        self.touch(bunker_id)
        self.flush()
        await self._writer.flush()
        return True

    def flush(self) -> None:
        """Hand what is new to the writer."""
        for bunker_id in self._users:
            self.touch(bunker_id)
        for bunker_id, at in list(self._fresh.items()):
            write = self._writer.submit(_TOUCH, {"bunker": bunker_id, "at": at}, urgent=False)
            del self._fresh[bunker_id]  # not before: what a full queue refuses is tried again
            self._handed[bunker_id] = at
            write.add_done_callback(partial(self._written, bunker_id, at))

    def _written(self, bunker_id: str, at: datetime, _: "asyncio.Future[None]") -> None:
        if self._handed.get(bunker_id) == at:
            del self._handed[bunker_id]

    async def run(self) -> None:
        """Flush for ever."""

        async def once() -> None:
            self.flush()

        await forever("activity", once, FLUSH_S)
