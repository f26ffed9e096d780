"""The next step that brings a bunker to where it should be. Pure: the whole policy in one place.

Takes the row, what is known of the machine and of its worker, and the time; answers one step.
`reconcile` does the step and asks again. Whatever was interrupted is found again from the same
inputs, so that there is one path for the happy case and for recovery.
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
    UNPLACE = "unplace"  # give it to another worker
    START = "start"  # it runs
    PAUSE = "pause"  # have it frozen
    PAUSED = "paused"  # it is frozen
    RESUME = "resume"  # have it go on
    RESUMED = "resumed"  # it goes on
    CONFIRM_LOSS = "confirm_loss"  # ask whether it is really gone; if so it has failed
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
    """What is known beside the row. `worker_lost`: silent so long that it is not waited for.
    `worker_fit`: it is online, so that it can be given work. `overdue`: why its time is up."""

    now: datetime
    sight: Sight
    worker_lost: bool
    worker_fit: bool
    overdue: str | None
    provision_timeout_s: float
    look_after_s: float


_NOTHING = Step(Act.NOTHING)


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


def _stuck(since: datetime, s: Situation) -> bool:
    return s.now >= since + timedelta(seconds=s.provision_timeout_s)


def _pending(b: Bunker, s: Situation) -> Step:
    if _stuck(b.created_at, s):
        return Step(Act.FAIL, f"no worker took it within {s.provision_timeout_s:g} s")
    if b.worker_id is None or not s.worker_fit:
        return Step(Act.CHOOSE)
    return Step(Act.PLACE)


def _provisioning(b: Bunker, s: Situation) -> Step:
    machine = s.sight.machine
    if isinstance(machine, MachineStatus):
        match machine.state:
            case MachineState.RUNNING | MachineState.PAUSED:
                return Step(Act.START)
            case MachineState.FAILED:
                return Step(Act.FAIL, failure_reason(machine))
    if _stuck(b.placed_at or b.created_at, s):
        return Step(Act.FAIL, f"it did not run within {s.provision_timeout_s:g} s")
    if s.worker_lost:
        return Step(Act.UNPLACE, "its worker went silent before it ran")
    if isinstance(machine, Absence):
        return Step(Act.ORDER)  # ordering twice is no error
    return Step(Act.LOOK) if s.sight.age_s >= s.look_after_s else _NOTHING


def _settled(b: Bunker, s: Situation) -> Step:
    """Running or paused: keep it so, change it as desired, or find that it is gone."""
    machine = s.sight.machine
    if isinstance(machine, MachineStatus) and machine.state is MachineState.FAILED:
        return Step(Act.FAIL, failure_reason(machine))
    if s.worker_lost:
        return _NOTHING  # it goes on running there, as far as anybody knows
    if machine is Absence.ABSENT:
        return Step(Act.CONFIRM_LOSS, "lost by its worker")
    if b.desired is Desired.PAUSED:
        return _towards_paused(b, machine)
    return _towards_running(b, machine)


def _towards_paused(b: Bunker, machine: MachineStatus | Absence) -> Step:
    frozen = isinstance(machine, MachineStatus) and machine.state is MachineState.PAUSED
    if b.status is State.RUNNING:
        return Step(Act.PAUSED) if frozen else Step(Act.PAUSE)
    moving = isinstance(machine, MachineStatus) and machine.state is MachineState.RUNNING
    return Step(Act.PAUSE) if moving else _NOTHING


def _towards_running(b: Bunker, machine: MachineStatus | Absence) -> Step:
    moving = isinstance(machine, MachineStatus) and machine.state is MachineState.RUNNING
    if b.status is State.PAUSED:
        return Step(Act.RESUMED) if moving else Step(Act.RESUME)
    frozen = isinstance(machine, MachineStatus) and machine.state is MachineState.PAUSED
    return Step(Act.RESUME) if frozen else _NOTHING


def failure_reason(machine: MachineStatus) -> str:
    """Why a machine failed, with the end of its console."""
    reason = machine.reason or "the machine failed"
    if not machine.console_tail:
        return reason[:2000]
    return f"{reason[:2000]}\n--- console ---\n{machine.console_tail[-4096:]}"
