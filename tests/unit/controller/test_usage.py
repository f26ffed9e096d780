"""How the time that a bunker spends in its states is divided into minutes and charged."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.usage.domain import CHARGED, Change, amounts, stays
from scaigrid.accounting.domain import MINUTE, Amounts, minute_of

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(seconds: float, state: State) -> Change:
    return Change(START + timedelta(seconds=seconds), state)


HISTORIES = st.lists(
    st.builds(
        at, st.integers(-600_000, 1_200_000).map(lambda ms: ms / 1000), st.sampled_from(State)
    )
)


def spent(changes: list[Change], begin: datetime, end: datetime) -> Counter[State]:
    total: Counter[State] = Counter()
    for change, seconds in stays(changes, begin, end):
        total[change.status] += round(seconds * 1_000_000)  # type: ignore[assignment]
    return total


@given(HISTORIES, st.integers(1, 15))
def test_the_minutes_of_a_time_sum_to_the_whole(changes: list[Change], minutes: int) -> None:
    """In whatever order the clocks of replicas put the changes."""
    whole = spent(changes, START, START + minutes * MINUTE)
    parts: Counter[State] = Counter()
    for n in range(minutes):
        parts += spent(changes, START + n * MINUTE, START + (n + 1) * MINUTE)
    assert parts == whole
    assert whole.total() <= minutes * 60_000_000


@given(HISTORIES)
def test_from_its_first_change_on_every_second_is_spent_in_some_state(
    changes: list[Change],
) -> None:
    first = min(START + MINUTE, max(START, changes[0].at)) if changes else START + MINUTE
    left = START + MINUTE - first
    assert spent(changes, START, START + MINUTE).total() == left // timedelta(microseconds=1)


def test_a_life_is_charged_for_what_it_keeps_from_others() -> None:
    life = [
        at(0, State.PENDING),
        at(5, State.PROVISIONING),
        at(10, State.RUNNING),
        at(30, State.PAUSED),
        at(40, State.SNAPSHOTTING),
        at(45, State.RUNNING),
        at(50, State.TERMINATED),
    ]
    shape = Shape(cpu_millicores=1500, memory_mb=512, disk_mb=2048, gpu_count=2)
    used = amounts(shape, stays(life, START, START + MINUTE), 77)
    assert used == Amounts(25 * 1.5, 40 * 512, 40 * 2048, 40 * 2, 77)
    assert amounts(shape, stays(life, START + MINUTE, START + 2 * MINUTE)) == Amounts()
    assert amounts(shape, stays([], START, START + MINUTE)) == Amounts()


@pytest.mark.parametrize("state", State)
def test_every_state_is_charged_for_or_not(state: State) -> None:
    assert not CHARGED[state].cpu or CHARGED[state].rest


def test_a_minute_begins_at_its_second_zero() -> None:
    assert minute_of(START + timedelta(seconds=59, microseconds=999_999)) == START
