"""The next step for a snapshot that is being created. Pure.

The bunker's own way through `snapshotting` is `bunkers.decide`'s: it goes on as soon as the snapshot says,
by its row, that the bunker is not needed any more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.controller.workers.fleet import Absence
from scaibunker.wire.api.snapshots import SnapshotPhase
from scaibunker.wire.worker.snapshots import SnapshotPhase as Seen
from scaibunker.wire.worker.snapshots import SnapshotStatus

PHASES = tuple(SnapshotPhase)
"""In the order in which they follow each other."""


class Act(Enum):
    """What can be done about a snapshot."""

    NOTHING = "nothing"  # only time can tell
    ORDER = "order"  # tell the worker to make it
    PROGRESS = "progress"  # write down how far it is
    READY = "ready"  # it is stored
    FAIL = "fail"  # there will be none
    CANCEL = "cancel"  # have the worker give it up, then fail


@dataclass(frozen=True, slots=True)
class Step:
    """One act, with the reason that the owner will read."""

    act: Act
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known beside the row. `seen`: what its worker says; ABSENT if it knows none of that id, or
    cannot know one yet; UNKNOWN if it does not answer. `bunker_waits`: the bunker stands still for it."""

    now: datetime
    seen: SnapshotStatus | Absence
    worker_lost: bool
    bunker_waits: bool
    order_timeout_s: float
    stall_timeout_s: float


_NOTHING = Step(Act.NOTHING)


def decide(s: Snapshot, x: Situation) -> Step:
    """The next step for a snapshot."""
    if s.status.is_final:
        return _NOTHING
    if s.deleted_at is not None:
        return Step(Act.CANCEL, "it was deleted before it was ready")
    if isinstance(x.seen, Absence):
        return _unseen(s, x, x.seen)
    match x.seen.phase:
        case Seen.STORED:
            return Step(Act.READY)
        case Seen.FAILED:
            return Step(Act.FAIL, (x.seen.reason or "its worker could not make it")[:2000])
    if _moved(s, x.seen):
        return Step(Act.PROGRESS)
    return _if_stalled(s, x)


def _unseen(s: Snapshot, x: Situation, absence: Absence) -> Step:
    if absence is Absence.ABSENT and s.phase is not None:
        return Step(Act.FAIL, "its worker was restarted before it was stored")
    if x.worker_lost:
        return Step(Act.FAIL, "its worker went silent before it was stored")
    if s.phase is not None:
        return _if_stalled(s, x)
    if not x.bunker_waits:
        return Step(Act.CANCEL, "its bunker ended before it was copied")
    if x.now >= s.created_at + timedelta(seconds=x.order_timeout_s):
        return Step(Act.CANCEL, f"its worker took no order for {x.order_timeout_s:g} s")
    return Step(Act.ORDER) if absence is Absence.ABSENT else _NOTHING


def _if_stalled(s: Snapshot, x: Situation) -> Step:
    if x.now >= s.moved_at + timedelta(seconds=x.stall_timeout_s):
        return Step(Act.CANCEL, f"it made no progress for {x.stall_timeout_s:g} s")
    return _NOTHING


def _moved(s: Snapshot, seen: SnapshotStatus) -> bool:
    """Whether the worker is further than the row says: a late report takes nothing back."""
    phase = SnapshotPhase(seen.phase.value)
    if s.phase is None or PHASES.index(phase) > PHASES.index(s.phase):
        return True
    return phase is s.phase and (seen.done_bytes, seen.total_bytes) > (s.done_bytes, s.total_bytes)
