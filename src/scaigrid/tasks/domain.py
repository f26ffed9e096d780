"""A task, and when it is due. Times are UTC and lie on a fixed grid, so that all processes agree.

A task has a slot whenever it is due. An ordinary task that missed slots runs once for all of them;
one that is `per_slot` runs once for each, in order.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

from scaigrid.operation import Operation

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MAX_SLOTS = 240
"""Slots that one run of a `per_slot` task catches up with at most; the next goes on from there."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Schedule(Protocol):
    """When a task is due."""

    def latest(self, now: datetime) -> datetime:
        """The newest slot that is not after `now`."""
        ...

    def after(self, slot: datetime) -> datetime:
        """The first slot after a time."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """Each time that the clock shows a multiple of `seconds`, and `delay_s` later."""

    seconds: int
    delay_s: int = 0

    def __post_init__(self) -> None:
        whole = next((unit for unit in (MINUTE, HOUR, DAY) if self.seconds <= unit), 0)
        step = {MINUTE: 1, HOUR: MINUTE, DAY: HOUR}.get(whole, 0)
        if self.seconds < 1 or not step or whole % self.seconds or self.seconds % step:
            raise ValueError(f"a minute, an hour or a day must be a multiple of {self.seconds} s")
        if not 0 <= self.delay_s < min(self.seconds, MINUTE):
            raise ValueError("the delay must be shorter than the interval, and than a minute")

    def latest(self, now: datetime) -> datetime:
        """The newest slot that is not after `now`."""
        delay, step = timedelta(seconds=self.delay_s), timedelta(seconds=self.seconds)
        return now - (now - _EPOCH - delay) % step

    def after(self, slot: datetime) -> datetime:
        """The first slot after a time."""
        return self.latest(slot) + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day."""

    hour: int
    minute: int

    def __post_init__(self) -> None:
        time(self.hour, self.minute)  # raises ValueError for a time that no day has

    def latest(self, now: datetime) -> datetime:
        """The newest slot that is not after `now`."""
        today = datetime.combine(now.date(), time(self.hour, self.minute), UTC)
        return today if today <= now else today - timedelta(days=1)

    def after(self, slot: datetime) -> datetime:
        """The first slot after a time."""
        return self.latest(slot) + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """What one run is for: everything due after `since`, up to and with `until`."""

    since: datetime
    until: datetime


Work = Callable[[Operation, Span], Awaitable[None]]
"""Does a task. It can be cancelled at any point, and may be run again for the same span."""


@dataclass(frozen=True, slots=True)
class Task:
    """Work that some background worker does when it is due. Names begin with the module's id."""

    name: str
    schedule: Every | Daily
    work: Work
    time_limit_s: float = 60
    per_slot: bool = False

    def spans(self, done_until: datetime, now: datetime) -> Iterator[Span]:
        """What there is to do, if everything up to `done_until` is done."""
        latest = self.schedule.latest(now)
        if not self.per_slot:
            if done_until < latest:
                yield Span(done_until, latest)
            return
        for _ in range(MAX_SLOTS):
            slot = self.schedule.after(done_until)
            if slot > latest:
                return
            yield Span(done_until, slot)
            done_until = slot
