"""What happens when: the events of a simulation, in the order of their times."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Agenda(Generic[T]):
    """Events by time, in seconds since the day began; those of one time in the order they were put."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, at: float, event: T) -> None:
        """Something is to happen then."""
        heapq.heappush(self._events, (at, self._count, event))
        self._count += 1

    def until(self, end: float) -> Iterator[tuple[float, T]]:
        """What happens before `end`, taken off the agenda."""
        while self._events and self._events[0][0] < end:
            at, _, event = heapq.heappop(self._events)
            yield at, event
