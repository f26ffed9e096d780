"""Finding out whether heartbeats can be taken: the database answers, and this process runs."""

import structlog

from scaibunker.controller.workers.domain import Presence
from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.loops import forever

log = structlog.get_logger(__name__)

MAX_PAUSE_S = 1.0


class Listener:
    """Tells `Presence` again and again that it may trust in what it hears."""

    def __init__(
        self, database: Database, clock: Clock, presence: Presence, offline_after_s: float
    ) -> None:
        self._database = database
        self._clock = clock
        self._presence = presence
        self._pause_s = min(MAX_PAUSE_S, offline_after_s / 15)

    async def run(self) -> None:
        """For ever."""
        await forever("listener", self._listen, self._pause_s)

    async def _listen(self) -> None:
        try:
            await self._database.ping()
        except DatabaseUnavailable as error:
            log.debug("heartbeats cannot be taken", error=repr(error))
        else:
            self._presence.listening(self._clock.now())
