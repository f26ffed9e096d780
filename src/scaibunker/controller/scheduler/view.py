"""What this replica knows of the fleet: an index in memory, brought up to date from the database.

It may be a moment behind. That costs a second look and never a place: places are taken by
`workers.places`, which asks the row. Nobody is refused by what is known here before it was brought
up to date.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from scaibunker.controller.scheduler.domain import Candidate, Demand, Place, Strategy, place_on
from scaibunker.controller.scheduler.index import Index
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.domain import Held, Presence
from scaibunker.controller.workers.repository import Description, Standing
from scaibunker.controller.workers.vicinity import Vicinity
from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.errors import GridError
from scaigrid.loops import forever
from scaigrid.operation import Operation, system_operation

REFRESH_S = 1.0
OVERLAP = timedelta(seconds=30)
"""How much longer than its first statement a transaction may take: what it wrote is dated by that."""
WHOLE_S = 60.0
"""How often everything is read again, whatever is said to have changed."""


class FleetView:
    """Who could take a bunker, as far as is known."""

    def __init__(
        self,
        database: Database,
        presence: Presence,
        clock: Clock,
        offline_after_s: float,
        vicinity: Vicinity | None = None,
    ) -> None:
        self._vicinity = vicinity or Vicinity()
        self._database = database
        self._presence = presence
        self._clock = clock
        self._offline_after = timedelta(seconds=offline_after_s)
        self._index = Index()
        self._described: dict[str, Description] = {}
        self._standing: dict[str, Standing] = {}
        self._silent: set[str] = set()
        self._taking: dict[str, Held] = {}
        self._reading = asyncio.Lock()
        self._read_from = -WHOLE_S
        self._whole_from = -WHOLE_S
        self._newest: datetime | None = None

    def best(self, demand: Demand, strategy: Strategy) -> Place | None:
        """The place that a bunker should get; None if there is none, as far as is known."""
        found = self._index.best(demand, strategy)
        return place_on(demand, found) if found else None

    def why_none(self, demand: Demand) -> GridError:
        """Why there is none."""
        return self._index.why_none(demand)

    def is_known_since(self, moment: float) -> bool:
        """Whether what is known was read after a moment (`Clock.monotonic`)."""
        return self._read_from >= moment

    def heard_since(self) -> datetime | None:
        """Who has not reported since then is offline; None while that cannot be said, because this
        replica may have missed it."""
        now = self._clock.now()
        until = now - self._offline_after
        return until if self._presence.listening_since(now) <= until else None

    @contextlib.contextmanager
    def taking(self, place: Place) -> Iterator[None]:
        """A place is being taken while the block runs; if it ends well, it is taken. So that those
        who choose meanwhile choose others."""
        held = _held(place)
        self._shift(place.worker_id, held, 1)
        try:
            yield
            known = self._standing.get(place.worker_id)
            if known is not None:
                self._standing[place.worker_id] = replace(known, held=known.held.more(held))
        finally:
            self._shift(place.worker_id, held, -1)

    async def run(self) -> None:
        """Keep it up to date, for ever."""

        async def once() -> None:
            with contextlib.suppress(DatabaseUnavailable):
                await self.bring_up_to_date(self._clock.monotonic())

        await forever("fleet view", once, REFRESH_S)

    async def bring_up_to_date(self, since: float) -> None:
        """Read what has changed, unless that was done after a moment (`Clock.monotonic`)."""
        async with self._reading:
            if self.is_known_since(since):
                return
            began = self._clock.monotonic()
            op = system_operation("fleet view", self._clock)
            whole = began - self._whole_from >= WHOLE_S
            await self._read(op, None if whole or self._newest is None else self._newest - OVERLAP)
            self._read_from = began
            if whole:
                self._whole_from = began

    async def _read(self, op: Operation, since: datetime | None) -> None:
        now = op.now()
        async with self._database.read() as db:
            changed = await workers.standings(op, db, since)
            unknown = [
                worker_id
                for worker_id, standing in changed.items()
                if worker_id not in self._described
                or self._described[worker_id].facts != standing.facts
            ]
            described = await workers.descriptions(op, db, unknown) if unknown else {}
            silent = await workers.silent(op, db, now - self._offline_after)
        self._described |= described
        for worker_id, description in described.items():
            self._vicinity.put(worker_id, description.addresses)
        self._vicinity.all_read()
        self._standing |= {each: changed[each] for each in changed if each in self._described}
        gone = {
            worker_id
            for worker_id, heard in silent.items()
            if not self._presence.was_heard(heard, now)
        }
        for worker_id in (changed.keys() | (gone ^ self._silent)) & self._standing.keys():
            self._put(worker_id, online=worker_id not in gone)
        self._silent = gone
        times = [standing.changed_at for standing in changed.values()]
        self._newest = max([*times, self._newest] if self._newest else times, default=None)

    def _shift(self, worker_id: str, held: Held, sign: int) -> None:
        taking = self._taking.get(worker_id, Held()).more(held, sign)
        if taking.bunkers:
            self._taking[worker_id] = taking
        else:
            self._taking.pop(worker_id, None)
        if worker_id in self._standing:
            self._put(worker_id, online=worker_id not in self._silent)

    def _put(self, worker_id: str, *, online: bool) -> None:
        standing, described = self._standing[worker_id], self._described[worker_id]
        taking = self._taking.get(worker_id)
        self._index.put(
            Candidate(
                worker_id=worker_id,
                total=described.capacity,
                held=standing.held.more(taking) if taking else standing.held,
                network_profiles=described.network_profiles,
                images=described.images,
                templates=described.templates,
                online=online and self._presence.understands(described.protocol),
                draining=standing.draining,
            )
        )


def _held(place: Place) -> Held:
    shape = place.shape
    gpus = {place.gpu_type: shape.gpu_count} if place.gpu_type else {}
    return Held(1, shape.cpu_millicores, shape.memory_mb, shape.disk_mb, gpus)
