"""What a bunker is accounted for, by the time that it spends in each state.

It is charged for what it keeps from others. A paused bunker's memory, disk and devices are its own
still, its share of the CPU is not; while it is copied it stands still likewise. One that is passivated
keeps its disk alone. Before it runs, and after its end, it is charged for nothing.
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
    disk: bool


_ALL, _NOTHING = Held(cpu=True, rest=True, disk=True), Held(cpu=False, rest=False, disk=False)
_STILL = Held(cpu=False, rest=True, disk=True)
ASLEEP = Held(cpu=False, rest=False, disk=True)


CHARGED: Mapping[State, Held] = MappingProxyType(
    {
        State.PENDING: _NOTHING,
        State.PROVISIONING: _NOTHING,
        State.RUNNING: _ALL,
        State.PAUSED: _STILL,
        State.SNAPSHOTTING: _STILL,
        State.TERMINATED: _NOTHING,
        State.FAILED: _NOTHING,
    }
)


@dataclass(frozen=True, slots=True)
class Change:
    """A bunker came into a state, or was passivated in it."""

    at: datetime
    status: State
    passivated: bool = False

    @property
    def held(self) -> Held:
        """What is charged for from then on."""
        return ASLEEP if self.passivated and self.status is State.PAUSED else CHARGED[self.status]


def stays(
    changes: Iterable[Change], begin: datetime, end: datetime
) -> Iterator[tuple[Change, float]]:
    """How many seconds of a period were spent after which changes, from changes in their order.

    Replicas' clocks differ a little: a change does not come before the one before it.
    """
    last, since = None, begin
    for change in changes:
        at = min(max(change.at, since), end)
        if last is not None and at > since:
            yield last, (at - since).total_seconds()
        last, since = change, at
    if last is not None and end > since:
        yield last, (end - since).total_seconds()


def amounts(shape: Shape, spent: Iterable[tuple[Change, float]], egress_bytes: int = 0) -> Amounts:
    """What a bunker of that shape used."""
    cpu_s = rest_s = disk_s = 0.0
    for change, seconds in spent:
        held = change.held
        cpu_s += seconds if held.cpu else 0.0
        rest_s += seconds if held.rest else 0.0
        disk_s += seconds if held.disk else 0.0
    return Amounts(
        cpu_seconds=cpu_s * shape.cpu_millicores / 1000,
        memory_mb_seconds=rest_s * shape.memory_mb,
        disk_mb_seconds=disk_s * shape.disk_mb,
        gpu_seconds=rest_s * shape.gpu_count,
        egress_bytes=egress_bytes,
    )
