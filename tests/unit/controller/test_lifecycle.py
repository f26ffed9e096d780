"""The states of a bunker, and what may follow."""

import pytest

from scaibunker.controller.bunkers.lifecycle import (
    FINAL,
    LIVE,
    TRANSITIONS,
    Event,
    InvalidTransition,
    State,
    next_state,
)

LEGAL = {
    ("pending", "provisioning"),
    ("provisioning", "pending"),  # its worker went silent: placed again
    ("provisioning", "running"),
    ("running", "paused"),
    ("paused", "running"),
    ("running", "snapshotting"),
    ("paused", "snapshotting"),
    ("snapshotting", "running"),
    ("snapshotting", "paused"),
    *((state.value, "terminated") for state in LIVE),
    *((state.value, "failed") for state in LIVE),
}


def test_the_legal_moves_are_exactly_these() -> None:
    moves = {(source.value, target.value) for (source, _), target in TRANSITIONS.items()}
    assert moves == LEGAL


def test_every_other_combination_is_refused() -> None:
    for state in State:
        for event in Event:
            if (state, event) in TRANSITIONS:
                assert next_state(state, event) is TRANSITIONS[state, event]
                continue
            with pytest.raises(InvalidTransition) as caught:
                next_state(state, event)
            assert (caught.value.state, caught.value.event) == (state, event)


def test_nothing_follows_a_final_state() -> None:
    assert set(FINAL) | set(LIVE) == set(State)
    assert not {source for source, _ in TRANSITIONS} & set(FINAL)


def test_every_state_can_be_reached_and_left() -> None:
    reached, border = {State.PENDING}, [State.PENDING]
    while border:
        here = border.pop()
        for (source, _), target in TRANSITIONS.items():
            if source is here and target not in reached:
                reached.add(target)
                border.append(target)
    assert reached == set(State)
