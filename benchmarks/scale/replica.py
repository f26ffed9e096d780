"""A controller's scheduler: the product's index, what it is told, and how long its decisions take.

Does in memory what `scheduler.placement` does with `scheduler.view` on a database: choose, take, and if the
place is gone, look again; nobody is refused by what was not brought up to date.
"""

import time
from array import array
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from benchmarks.scale.fleet import Fleet, Worker, held_by
from scaibunker.controller.scheduler.domain import Candidate, Demand, Place, Strategy, place_on
from scaibunker.controller.scheduler.index import Index
from scaigrid.errors import GridError

ATTEMPTS = 32


class Scheduler(Protocol):
    """Who chooses workers."""

    def tell(self, workers: Iterable[Worker]) -> None:
        """These are now so."""

    def place(self, demand: Demand, bunker_id: str) -> Place | GridError:
        """The place that was taken for a bunker, or why there is none."""


class Times:
    """How long decisions took, ns. They wait for nothing; where others use the host too, being interrupted counts."""

    def __init__(self) -> None:
        self.placed = array("Q")
        self.refused = array("Q")
        self.told = 0
        self.told_ns = 0
        self.lost = 0
        """Places that another replica had got meanwhile."""


class Replica:
    """One of the controllers."""

    def __init__(self, fleet: Fleet, strategy: Strategy, times: Times) -> None:
        self._fleet = fleet
        self._strategy: Strategy = strategy
        self._index = Index()
        self._times = times
        self._behind: dict[str, None] = {}
        self.tell(fleet.workers.values())

    def tell(self, workers: Iterable[Worker]) -> None:
        begun, count = time.perf_counter_ns(), 0
        for worker in workers:
            self._index.put(worker.candidate())
            count += 1
        self._times.told += count
        self._times.told_ns += time.perf_counter_ns() - begun

    def place(self, demand: Demand, bunker_id: str) -> Place | GridError:
        begun, fresh = time.perf_counter_ns(), False
        for _ in range(ATTEMPTS):
            found = self._index.best(demand, self._strategy)
            if found is None:
                if not fresh:
                    begun += self._refresh()
                    fresh = True
                    continue
                error = self._index.why_none(demand)
                self._times.refused.append(time.perf_counter_ns() - begun)
                return error
            place = place_on(demand, found)
            asked = time.perf_counter_ns()
            taken = self._fleet.take(place, bunker_id)
            begun += time.perf_counter_ns() - asked  # the truth is no part of the decision
            if taken:
                self._taken(found, place)
                self._times.placed.append(time.perf_counter_ns() - begun)
                return place
            self._times.lost += 1
            begun += self._refresh()
            fresh = True
        raise AssertionError("every worker that was chosen was taken by others meanwhile")

    def _taken(self, candidate: Candidate, place: Place) -> None:
        self._index.put(replace(candidate, held=candidate.held.more(held_by(place))))

    def _refresh(self) -> int:
        """Hear what has changed since the beginning of the second; how long that took, ns: in the
        product it is a query."""
        begun = time.perf_counter_ns()
        self.tell([self._fleet.workers[each] for each in self._fleet.changed])
        return time.perf_counter_ns() - begun
