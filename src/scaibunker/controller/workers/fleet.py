"""What workers last said about machines. Observed truth: in memory, rebuilt by the next heartbeat.

A worker's report names all of its machines, so that one it does not name is not there; unless
the machine was ordered after the report arrived, or nothing was heard yet. A worker's reports go to
any replica, so what this one has not heard again for a while is not known any more: then the
worker is asked. A sighting is as old as it may be: a report counts from its arrival, and an answer from
when it was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from scaibunker.wire.worker.machines import MachineStatus
from scaigrid.clock import Clock


class Absence(Enum):
    """What there is to say about a machine that no report names."""

    UNKNOWN = "unknown"  # nothing was heard that could tell
    ABSENT = "absent"  # the worker reported after the order, and did not name it


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known about one machine; `age_s` seconds old. `asked`: the worker's answer to a
    question, which it cannot have given before; a report may have waited on its way."""

    machine: MachineStatus | Absence
    age_s: float
    asked: bool = False


@dataclass(slots=True)
class _Seen:
    status: MachineStatus | None
    at: float
    asked: bool


class Fleet:
    """Sightings of machines, by worker."""

    def __init__(self, clock: Clock, good_for_s: float) -> None:
        self._clock = clock
        self._good_for_s = good_for_s
        self._reports: dict[str, float] = {}
        self._machines: dict[str, dict[str, _Seen]] = {}

    def report(self, worker_id: str, machines: Sequence[MachineStatus]) -> None:
        """A heartbeat arrived: the whole truth about this worker."""
        now = self._clock.monotonic()
        self._reports[worker_id] = now
        self._machines[worker_id] = {m.bunker_id: _Seen(m, now, asked=False) for m in machines}

    def observe(
        self, worker_id: str, bunker_id: str, status: MachineStatus | None, asked_at: float
    ) -> None:
        """The worker, asked at that moment, answered this about one machine; None: that it has no
        such machine. Does not replace what was seen since."""
        machines = self._machines.setdefault(worker_id, {})
        known = machines.get(bunker_id)
        if known is None or known.at <= asked_at:
            machines[bunker_id] = _Seen(status, asked_at, asked=True)

    def sight(self, worker_id: str, bunker_id: str) -> Sight:
        """What is known about a machine."""
        now = self._clock.monotonic()
        seen = self._machines.get(worker_id, {}).get(bunker_id)
        if seen is not None and now - seen.at < self._good_for_s:
            return Sight(seen.status or Absence.ABSENT, now - seen.at, seen.asked)
        reported = self._reports.get(worker_id)
        if reported is None or now - reported >= self._good_for_s:
            return Sight(Absence.UNKNOWN, 0.0)
        return Sight(Absence.ABSENT, now - reported)
