"""What workers last said of the bridges that they have. Observed truth: in memory, rebuilt by the next heartbeat."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from scaigrid.clock import Clock


@dataclass(frozen=True, slots=True)
class Report:
    """One heartbeat's word; `at` is when it came."""

    bridges: frozenset[str]
    at: datetime


class Reports:
    """The last of each worker, for as long as it is news."""

    def __init__(self, clock: Clock, good_for_s: float) -> None:
        self._clock = clock
        self._good_for_s = good_for_s
        self._last: dict[str, tuple[float, Report]] = {}

    def take(self, worker_id: str, bridges: Collection[str]) -> bool:
        """Remember it; returns whether it differs from the one before."""
        known = self._last.get(worker_id)
        report = Report(frozenset(bridges), self._clock.now())
        self._last[worker_id] = self._clock.monotonic(), report
        return known is None or known[1].bridges != report.bridges

    def recent(self) -> dict[str, Report]:
        """By worker."""
        now = self._clock.monotonic()
        self._last = {
            worker_id: (at, report)
            for worker_id, (at, report) in self._last.items()
            if now - at < self._good_for_s
        }
        return {worker_id: report for worker_id, (_, report) in self._last.items()}
