"""The bunker's intended life: its states, what may follow, and what moves it on.

Owns the rules only. Rows move through `states.States.move`; what a host really runs is the
worker's own state of the machine; what a caller is shown is `view`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a bunker is in its life."""

    PENDING = "pending"  # accepted and its capacity held; nothing has been ordered
    PROVISIONING = "provisioning"  # its worker has been told to build the machine
    RUNNING = "running"  # commands can run
    PAUSED = "paused"  # frozen in place, capacity held
    SNAPSHOTTING = "snapshotting"  # standing still while it is copied
    TERMINATED = "terminated"  # gone because somebody wanted it gone
    FAILED = "failed"  # gone because something went wrong


class Event(StrEnum):
    """What moves a bunker from one state to the next."""

    PLACED = "placed"  # a worker was chosen
    WORKER_LOST = "worker_lost"  # the worker went silent before the machine ran
    BUILD_FAILED = "build_failed"  # its worker could not build it, and another one is to
    READY = "ready"  # the machine runs and its agent answers
    PAUSED = "paused"
    RESUMED = "resumed"
    SNAPSHOT_OF_RUNNING = "snapshot_of_running"
    SNAPSHOT_OF_PAUSED = "snapshot_of_paused"
    SNAPSHOT_DONE_RUNNING = "snapshot_done_running"
    SNAPSHOT_DONE_PAUSED = "snapshot_done_paused"
    TERMINATED = "terminated"
    FAILED = "failed"


FINAL = (State.TERMINATED, State.FAILED)
LIVE = tuple(state for state in State if state not in FINAL)

_MOVES: dict[tuple[State, Event], State] = {
    (State.PENDING, Event.PLACED): State.PROVISIONING,
    (State.PROVISIONING, Event.WORKER_LOST): State.PENDING,  # placed again, capacity kept
    (State.PROVISIONING, Event.BUILD_FAILED): State.PENDING,  # on a place of the other worker
    (State.PROVISIONING, Event.READY): State.RUNNING,
    (State.RUNNING, Event.PAUSED): State.PAUSED,
    (State.PAUSED, Event.RESUMED): State.RUNNING,
    (State.RUNNING, Event.SNAPSHOT_OF_RUNNING): State.SNAPSHOTTING,
    (State.PAUSED, Event.SNAPSHOT_OF_PAUSED): State.SNAPSHOTTING,
    (State.SNAPSHOTTING, Event.SNAPSHOT_DONE_RUNNING): State.RUNNING,
    (State.SNAPSHOTTING, Event.SNAPSHOT_DONE_PAUSED): State.PAUSED,
    **{(state, Event.TERMINATED): State.TERMINATED for state in LIVE},
    **{(state, Event.FAILED): State.FAILED for state in LIVE},
}

TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(_MOVES)


class InvalidTransition(Exception):
    """The state does not allow the event."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event} is not possible in {state}")
        self.state = state
        self.event = event


def next_state(state: State, event: Event) -> State:
    """Where `event` leads from `state`. Raises InvalidTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransition(state, event) from None
