"""When tasks are due, and what a run is for."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from arq.cron import next_cron
from hypothesis import given
from hypothesis import strategies as st

from scaigrid.operation import Operation
from scaigrid.tasks.domain import MAX_SLOTS, Daily, Every, Span, Task
from scaigrid.tasks.queue import when

SCHEDULES = st.sampled_from(
    [
        Every(1),
        Every(30),
        Every(20, delay_s=7),
        Every(60),
        Every(60, delay_s=5),
        Every(300),
        Every(600, delay_s=59),
        Every(3600),
        Every(7200, delay_s=3),
        Every(86_400),
        Daily(3, 17),
        Daily(0, 0),
    ]
)
START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = st.integers(0, 3 * 366 * 86_400 * 10**6).map(lambda us: START + timedelta(microseconds=us))
NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


async def nothing(op: Operation, span: Span) -> None:
    pass


@given(SCHEDULES, TIMES)
def test_slots_follow_one_another_without_gap_or_overlap(
    schedule: Every | Daily, now: datetime
) -> None:
    slot = schedule.latest(now)
    assert slot <= now
    assert schedule.latest(slot) == slot
    following = schedule.after(slot)
    assert following == schedule.after(now)
    assert now < following
    assert schedule.latest(following - timedelta(microseconds=1)) == slot


@given(SCHEDULES, TIMES)
def test_the_trigger_comes_at_the_slots(schedule: Every | Daily, now: datetime) -> None:
    slot = schedule.after(now)
    told = next_cron(slot - timedelta(seconds=1), **when(schedule))
    assert slot <= told < slot + timedelta(seconds=1)


@pytest.mark.parametrize(
    "bad", [(0, 0), (-60, 0), (7, 0), (90, 0), (7000, 0), (90_000, 0), (30, 30), (60, 60), (5, -1)]
)
def test_an_interval_that_no_clock_shows_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Every(*bad)


@pytest.mark.parametrize("bad", [(24, 0), (3, 60), (-1, 0)])
def test_a_time_that_no_day_has_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        Daily(*bad)


def test_a_sweep_runs_once_for_all_that_was_missed() -> None:
    task = Task("t", Every(30), nothing)
    since = NOW - timedelta(hours=3)
    assert list(task.spans(since, NOW)) == [Span(since, NOW)]
    assert list(task.spans(NOW, NOW + timedelta(seconds=29))) == []


@given(st.integers(0, 2 * MAX_SLOTS))
def test_a_task_by_slots_gets_each_in_order_some_at_a_time(missed: int) -> None:
    task = Task("t", Every(60), nothing, per_slot=True)
    last = task.schedule.latest(NOW)
    done = last - timedelta(minutes=missed)
    seen = []
    while spans := list(task.spans(done, NOW)):
        assert len(spans) <= MAX_SLOTS
        seen += spans
        done = spans[-1].until
    assert done == last
    assert [span.until - span.since for span in seen] == [timedelta(minutes=1)] * missed
    assert all(a.until == b.since for a, b in pairwise(seen))


def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    task = Task("t", Every(60), nothing, per_slot=True)
    assert list(task.spans(NOW, NOW - timedelta(hours=1))) == []
