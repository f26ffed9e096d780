"""What a bunker is accounted for, by the time that it spends in each state.

It is charged for what it keeps from others. A paused bunker's memory, disk and devices are its own
still, its share of the CPU is not; while it is copied it stands still likewise. Before it runs, and
after its end, it is charged for nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.bunkers.lifecycle import State
from scaigrid.accounting.domain import Amounts


@dataclass(frozen=True, slots=True)
class Held:
    """What is charged for."""

    cpu: bool
    rest: bool


CHARGED: Mapping[State, Held] = MappingProxyType(
    {
        State.PENDING: Held(cpu=False, rest=False),
        State.PROVISIONING: Held(cpu=False, rest=False),
        State.RUNNING: Held(cpu=True, rest=True),
        State.PAUSED: Held(cpu=False, rest=True),
        State.SNAPSHOTTING: Held(cpu=False, rest=True),
        State.TERMINATED: Held(cpu=False, rest=False),
        State.FAILED: Held(cpu=False, rest=False),
    }
)


@dataclass(frozen=True, slots=True)
class Change:
    """A bunker came into a state."""

    at: datetime
    status: State


def stays(
    changes: Iterable[Change], begin: datetime, end: datetime
) -> Iterator[tuple[State, float]]:
    """How many seconds of a period were spent in which states, from changes in their order.

    Replicas' clocks differ a little: a change does not come before the one before it.
    """
    state, since = None, begin
    for change in changes:
        at = min(max(change.at, since), end)
        if state is not None and at > since:
            yield state, (at - since).total_seconds()
        state, since = change.status, at
    if state is not None and end > since:
        yield state, (end - since).total_seconds()


def amounts(shape: Shape, spent: Iterable[tuple[State, float]], egress_bytes: int = 0) -> Amounts:
    """What a bunker of that shape used."""
    cpu_s = rest_s = 0.0
    for state, seconds in spent:
        held = CHARGED[state]
        cpu_s += seconds if held.cpu else 0.0
        rest_s += seconds if held.rest else 0.0
    return Amounts(
        cpu_seconds=cpu_s * shape.cpu_millicores / 1000,
        memory_mb_seconds=rest_s * shape.memory_mb,
        disk_mb_seconds=rest_s * shape.disk_mb,
        gpu_seconds=rest_s * shape.gpu_count,
        egress_bytes=egress_bytes,
    )
