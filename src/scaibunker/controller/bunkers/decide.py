"""The next step that brings a bunker to where it should be. Pure: the whole policy in one place.

Takes the row, what is known of the machine and of its worker, and the time; answers one step.
`reconcile` does the step and asks again. Whatever was interrupted is found again from the same
inputs, so that there is one path for the happy case and for recovery.

There are several replicas, and each has sightings of its own. What a machine was seen to be counts only
if it was seen after the row became what it is; otherwise the worker is asked first. Where a late report
could pass for a new one (frozen or not, there or not) only an answer counts. What merely repeats an order
needs no sighting.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from scaibunker.controller.bunkers.domain import Bunker, Desired
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.workers.fleet import Absence, Sight
from scaibunker.wire.worker.machines import MachineState, MachineStatus


class Act(Enum):
    """What can be done about a bunker."""

    NOTHING = "nothing"  # it is where it should be, or only time can tell
    CHOOSE = "choose"  # find a worker
    PLACE = "place"  # take the chosen worker for good
    ORDER = "order"  # tell the worker to build the machine
    LOOK = "look"  # ask the worker about the machine
    UNPLACE = "unplace"  # take it from its worker, which is silent
    REPLACE = "replace"  # its worker cannot build it: give it to another, or let it fail
    START = "start"  # it runs
    PAUSE = "pause"  # have it frozen
    PAUSED = "paused"  # it is frozen
    RESUME = "resume"  # have it go on
    RESUMED = "resumed"  # it goes on
    EXPIRE = "expire"  # its time is up: want it terminated
    REMOVE = "remove"  # take the machine down
    END = "end"  # nothing is left of it: terminated
    FAIL = "fail"  # it cannot be any more


@dataclass(frozen=True, slots=True)
class Step:
    """One act, with the reason that the owner will read."""

    act: Act
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known beside the row. `known_s`: for how long this replica knows that the row is as
    it is. `worker_lost`: silent so long that it is not waited for. `worker_fit`: it is online, so
    that it can be given work. `overdue`: why its time is up.
    `listening_since`: before that a worker may have spoken and nobody has heard it."""

    now: datetime
    sight: Sight
    known_s: float
    worker_lost: bool
    worker_fit: bool
    overdue: str | None
    provision_timeout_s: float
    order_timeout_s: float
    look_after_s: float
    listening_since: datetime

    @property
    def is_current(self) -> bool:
        """Whether the machine was seen since the row is as it is."""
        return self.sight.age_s <= self.known_s

    @property
    def is_answered(self) -> bool:
        """Whether the worker was asked since then."""
        return self.sight.asked and self.is_current

    def seen_since(self, moment: datetime) -> bool:
        """Whether the machine was seen after a moment, by clocks that may not be the same one."""
        seen_at = self.now - timedelta(seconds=self.sight.age_s)
        return self.sight.machine is not Absence.UNKNOWN and seen_at >= moment


_NOTHING = Step(Act.NOTHING)
_LOOK = Step(Act.LOOK)
_BUILT = (MachineState.RUNNING, MachineState.PAUSED, MachineState.FAILED)
"""What a machine that was being built is in the end."""


def decide(b: Bunker, s: Situation) -> Step:
    """The next step for a bunker."""
    if b.is_final:
        return _NOTHING
    if b.desired is Desired.TERMINATED:
        return _ending(b, s)
    if s.overdue:
        return Step(Act.EXPIRE, s.overdue)
    match b.status:
        case State.PENDING:
            return _pending(b, s)
        case State.PROVISIONING:
            return _provisioning(b, s)
        case State.RUNNING | State.PAUSED:
            return _settled(b, s)
    return _NOTHING


def _ending(b: Bunker, s: Situation) -> Step:
    if b.status is State.PENDING:
        return Step(Act.END, b.desired_reason)  # nothing was ever ordered of its worker
    if s.worker_lost:
        note = "its worker was offline and takes the machine down when it comes back"
        return Step(Act.END, f"{b.desired_reason}; {note}")
    return Step(Act.REMOVE, b.desired_reason)


def _deadline(since: datetime, s: Situation) -> datetime:
    return max(since, s.listening_since) + timedelta(seconds=s.provision_timeout_s)


def _pending(b: Bunker, s: Situation) -> Step:
    if s.now >= _deadline(b.created_at, s):
        return Step(Act.FAIL, f"no worker took it within {s.provision_timeout_s:g} s")
    if b.worker_id is None or not s.worker_fit:
        return Step(Act.CHOOSE)
    return Step(Act.PLACE)


def _provisioning(b: Bunker, s: Situation) -> Step:
    machine, placed_at = s.sight.machine, b.placed_at or b.created_at
    if isinstance(machine, MachineStatus):
        # Seen since it was placed is enough, though another replica placed it: a machine of an
        # earlier time was on a worker that has been silent for longer than a sighting is kept.
        is_of_this_time = s.is_current or s.seen_since(placed_at)
        match machine.state:
            case MachineState.RUNNING | MachineState.PAUSED if is_of_this_time:
                return Step(Act.START)
            case MachineState.FAILED if is_of_this_time:
                return Step(Act.REPLACE, failure_reason(machine))
    if s.now >= _deadline(placed_at, s):
        if s.worker_lost or s.seen_since(_deadline(placed_at, s)):
            return Step(Act.FAIL, f"it did not run within {s.provision_timeout_s:g} s")
        return _LOOK  # it may have run for long, and nobody has noticed
    if s.worker_lost:
        return Step(Act.UNPLACE, "its worker went silent before it ran")
    if isinstance(machine, Absence):
        if s.now >= max(placed_at, s.listening_since) + timedelta(seconds=s.order_timeout_s):
            return Step(Act.REPLACE, f"its worker took no order for {s.order_timeout_s:g} s")
        return Step(Act.ORDER)  # ordering twice is no error
    if machine.state in _BUILT or s.sight.age_s >= s.look_after_s:
        return _LOOK
    return _NOTHING


def _settled(b: Bunker, s: Situation) -> Step:
    """Running or paused: keep it so, change it as desired, or find that it is gone."""
    machine = s.sight.machine
    if isinstance(machine, MachineStatus) and machine.state is MachineState.FAILED:
        if s.is_current:
            return Step(Act.FAIL, failure_reason(machine))
        return _NOTHING if s.worker_lost else _LOOK
    if s.worker_lost:
        return _NOTHING  # it goes on running there, as far as anybody knows
    if machine is Absence.ABSENT:
        return Step(Act.FAIL, "lost by its worker") if s.is_answered else _LOOK
    return _towards(b, s)


def _towards(b: Bunker, s: Situation) -> Step:
    """Frozen or going on, as it is desired."""
    freeze = b.desired is Desired.PAUSED
    order, done, goal = (
        (Act.PAUSE, Act.PAUSED, MachineState.PAUSED)
        if freeze
        else (Act.RESUME, Act.RESUMED, MachineState.RUNNING)
    )
    state = s.sight.machine.state if isinstance(s.sight.machine, MachineStatus) else None
    if (b.status is State.PAUSED) is not freeze:
        # The order first, whatever was seen: ordering twice is no error.
        return Step(done) if state is goal and s.is_answered else Step(order)
    astray = MachineState.RUNNING if freeze else MachineState.PAUSED
    if state is astray:
        return Step(order) if s.is_current else _LOOK
    return _NOTHING


def failure_reason(machine: MachineStatus) -> str:
    """Why a machine failed, with the end of its console."""
    reason = machine.reason or "the machine failed"
    if not machine.console_tail:
        return reason[:2000]
    return f"{reason[:2000]}\n--- console ---\n{machine.console_tail[-4096:]}"
