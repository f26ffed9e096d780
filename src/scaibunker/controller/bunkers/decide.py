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
    REORDER = "reorder"  # tell it once more, or another one if it still does not listen
    LOOK = "look"  # ask the worker about the machine
    UNPLACE = "unplace"  # take it from its worker, which is silent
    REPLACE = "replace"  # its worker cannot build it: give it to another, or let it fail
    START = "start"  # it runs
    PAUSE = "pause"  # have it frozen
    PAUSED = "paused"  # it is frozen
    RESUME = "resume"  # have it go on
    RESUMED = "resumed"  # it goes on
    RETURN = "return"  # it is copied, or will not be: it is again what it was
    PASSIVATE = "passivate"  # want it passivated
    COPY = "copy"  # begin the snapshot that it is to sleep in
    CALL_OFF = "call_off"  # give that snapshot up
    ABANDON = "abandon"  # it does not sleep: it is what was wanted of it before
    RELEASE = "release"  # it sleeps: let go of its worker
    WAKE = "wake"  # hold its quota and a place on a worker
    CLEAR = "clear"  # have its worker take down what it has of it from before
    WOKEN = "woken"  # it runs again
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
    `copied`: the snapshot that it stands still for needs it no more; `copy_failure` is why there will be
    none. `passivate`: why it should be passivated; `copy_ready`, `copy_called_off`: of the snapshot that it
    is to sleep in. `listening_since`: before that a worker may have spoken and nobody has heard it."""

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
    copied: bool = True
    copy_failure: str | None = None
    passivate: str | None = None
    copy_ready: bool = False
    copy_called_off: bool = False

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
    if b.passivated:
        return _asleep(b, s)
    match b.status:
        case State.PENDING:
            return _pending(b, s)
        case State.PROVISIONING:
            return _provisioning(b, s)
        case State.SNAPSHOTTING:
            return _snapshotting(b, s)
        case State.RUNNING | State.PAUSED:
            return _settled(b, s)
    return _NOTHING


def _ending(b: Bunker, s: Situation) -> Step:
    if b.status is State.PENDING or b.worker_id is None:
        # Nothing was ever ordered of its worker, or it has none.
        return Step(Act.END, b.desired_reason)
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
            return Step(Act.REORDER, f"its worker took no order for {s.order_timeout_s:g} s")
        return Step(Act.ORDER)  # ordering twice is no error
    if machine.state in _BUILT or s.sight.age_s >= s.look_after_s:
        return _LOOK
    return _NOTHING


def _settled(b: Bunker, s: Situation) -> Step:
    """Running or paused: keep it so, change it as desired, or find that it is gone."""
    if b.passive_snapshot_id is not None:
        return _copied(b, s)
    gone = _gone(s)
    if gone is not None:
        return gone
    if s.worker_lost:
        return _NOTHING  # it goes on running there, as far as anybody knows
    if s.passivate:
        return Step(Act.PASSIVATE, s.passivate)
    step = _towards(b, s)
    if step is _NOTHING and b.desired is Desired.PASSIVATED:
        is_frozen = _state(s) is MachineState.PAUSED and s.is_answered
        return Step(Act.COPY) if is_frozen else _LOOK
    return step


def _copied(b: Bunker, s: Situation) -> Step:
    """The copy that it is to sleep in is over. It was frozen since before that, unless its machine is seen to
    go on; what has become of the machine since does not matter."""
    if b.desired is not Desired.PASSIVATED:
        return Step(Act.ABANDON)
    if not s.copy_ready:
        return Step(Act.ABANDON, s.copy_failure or "its snapshot failed")
    if _state(s) is MachineState.RUNNING and s.is_current:
        return Step(Act.ABANDON, "its machine went on")
    return Step(Act.RELEASE)


def _snapshotting(b: Bunker, s: Situation) -> Step:
    """Until it is copied; then it is what it was before, if it still is there."""
    to_sleep = b.capturing_snapshot_id == b.passive_snapshot_id
    if to_sleep and b.desired is Desired.PASSIVATED:
        # Whatever becomes of its machine: once that is copied it can sleep.
        return Step(Act.RETURN) if s.copied else _NOTHING
    gone = _gone(s)
    if gone is not None:
        return gone
    if not s.copied:
        return Step(Act.CALL_OFF) if to_sleep and not s.copy_called_off else _NOTHING
    if to_sleep:
        return Step(Act.RETURN)  # what comes of it is said when that is decided
    reason = f"its snapshot failed: {s.copy_failure}" if s.copy_failure else None
    return Step(Act.RETURN, reason)


def _gone(s: Situation) -> Step | None:
    """What is to be done if its machine has failed or is not there; None if it is, or nobody knows."""
    machine = s.sight.machine
    if isinstance(machine, MachineStatus) and machine.state is MachineState.FAILED:
        if s.is_current:
            return Step(Act.FAIL, failure_reason(machine))
        return None if s.worker_lost else _LOOK
    if machine is Absence.ABSENT and not s.worker_lost:
        return Step(Act.FAIL, "lost by its worker") if s.is_answered else _LOOK
    return None


def _asleep(b: Bunker, s: Situation) -> Step:
    """Passivated: until somebody wants it, and then until it runs. What is seen of its machine counts only as
    an answer: a late report may be about the one that it had before."""
    if b.desired is not Desired.RUNNING:
        return _NOTHING
    if b.worker_id is None:
        return Step(Act.WAKE)
    if s.worker_lost:
        return Step(Act.REPLACE, "its worker went silent before it ran")
    if b.placed_at is None:
        return Step(Act.CLEAR)
    machine, state = s.sight.machine, _state(s)
    if s.is_answered and state is MachineState.RUNNING:
        return Step(Act.WOKEN)
    if s.is_answered and isinstance(machine, MachineStatus) and state is MachineState.FAILED:
        return Step(Act.REPLACE, failure_reason(machine))
    if s.now >= _deadline(b.placed_at, s):
        return Step(Act.REPLACE, f"it did not run within {s.provision_timeout_s:g} s")
    if not isinstance(machine, MachineStatus) or not s.is_current:
        if s.now >= max(b.placed_at, s.listening_since) + timedelta(seconds=s.order_timeout_s):
            return Step(Act.REORDER, f"its worker took no order for {s.order_timeout_s:g} s")
        return Step(Act.ORDER)
    if state in _BUILT or s.sight.age_s >= s.look_after_s:
        return _LOOK
    return _NOTHING


def _state(s: Situation) -> MachineState | None:
    """What the machine was seen to be."""
    machine = s.sight.machine
    return machine.state if isinstance(machine, MachineStatus) else None


def _towards(b: Bunker, s: Situation) -> Step:
    """Frozen or going on, as it is desired."""
    freeze = b.desired is not Desired.RUNNING
    order, done, goal = (
        (Act.PAUSE, Act.PAUSED, MachineState.PAUSED)
        if freeze
        else (Act.RESUME, Act.RESUMED, MachineState.RUNNING)
    )
    state = _state(s)
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
