"""The next step for a bunker, in every situation that matters."""

from datetime import timedelta
from typing import Any

import pytest

from scaibunker.controller.bunkers.decide import Act, Situation, Step, decide
from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import FINAL, State
from scaibunker.controller.workers.fleet import Absence
from scaibunker.wire.worker.machines import MachineState, MachineStatus
from tests.unit.controller.builders import NOW, a_bunker
from tests.unit.controller.situations import machine, situation


def act(bunker: Any, s: Situation) -> Act:
    return decide(bunker, s).act


BUILDING, RUNNING, PAUSED, STOPPING, FAILED = (
    machine(state)
    for state in (
        MachineState.BUILDING,
        MachineState.RUNNING,
        MachineState.PAUSED,
        MachineState.STOPPING,
        MachineState.FAILED,
    )
)


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("desired", Desired)
def test_nothing_is_done_about_what_has_ended(status: State, desired: Desired) -> None:
    for seen in (RUNNING, FAILED, Absence.ABSENT):
        assert act(a_bunker(status=status, desired=desired), situation(seen)) is Act.NOTHING


@pytest.mark.parametrize(
    ("worker_id", "fit", "expected"),
    [("wrk_1", True, Act.PLACE), ("wrk_1", False, Act.CHOOSE), (None, False, Act.CHOOSE)],
)
def test_a_pending_bunker_is_placed(worker_id: str | None, fit: bool, expected: Act) -> None:
    bunker = a_bunker(status=State.PENDING, worker_id=worker_id)
    s = situation(worker_fit=fit, worker_lost=worker_id is None)
    assert act(bunker, s) is expected


def test_a_pending_bunker_that_nobody_takes_fails() -> None:
    bunker = a_bunker(status=State.PENDING, worker_id=None)
    late = situation(worker_lost=True, worker_fit=False, now=NOW + timedelta(seconds=60))
    assert decide(bunker, late) == Step(Act.FAIL, "no worker took it within 60 s")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Absence.UNKNOWN, Act.ORDER),
        (Absence.ABSENT, Act.ORDER),
        (BUILDING, Act.NOTHING),
        (STOPPING, Act.NOTHING),
        (RUNNING, Act.START),
        (PAUSED, Act.START),
        (FAILED, Act.REPLACE),
    ],
)
def test_a_machine_on_its_way(seen: MachineStatus | Absence, expected: Act) -> None:
    assert act(a_bunker(status=State.PROVISIONING), situation(seen)) is expected


def test_a_machine_that_nobody_reports_about_is_looked_at() -> None:
    bunker = a_bunker(status=State.PROVISIONING)
    assert act(bunker, situation(BUILDING, age_s=2.0)) is Act.LOOK


def test_a_machine_that_takes_too_long_fails_unless_it_runs() -> None:
    bunker = a_bunker(status=State.PROVISIONING)
    late = NOW + timedelta(seconds=60)
    assert act(bunker, situation(BUILDING, now=late)) is Act.FAIL
    assert act(bunker, situation(Absence.UNKNOWN, now=late, worker_lost=True)) is Act.FAIL
    assert act(bunker, situation(RUNNING, now=late)) is Act.START


def test_a_machine_whose_worker_is_lost_goes_to_another() -> None:
    bunker = a_bunker(status=State.PROVISIONING)
    assert act(bunker, situation(BUILDING, worker_lost=True)) is Act.UNPLACE


@pytest.mark.parametrize("seen", [Absence.UNKNOWN, Absence.ABSENT])
def test_a_worker_that_takes_no_order_may_lose_it_to_another(seen: Absence) -> None:
    bunker = a_bunker(status=State.PROVISIONING, placed_at=NOW)
    late = NOW + timedelta(seconds=20)
    assert act(bunker, situation(seen, now=late)) is Act.REORDER
    assert act(bunker, situation(seen, now=late - timedelta(seconds=1))) is Act.ORDER
    # Nobody could have heard of it before: the time counts from then.
    assert act(bunker, situation(seen, now=late, listening_since=NOW + timedelta(seconds=1))) is (
        Act.ORDER
    )


def test_a_failure_carries_reason_and_console() -> None:
    seen = machine(MachineState.FAILED, reason="VMM died", console_tail="Oops")
    for status, expected in (
        (State.PROVISIONING, Act.REPLACE),
        (State.RUNNING, Act.FAIL),
        (State.PAUSED, Act.FAIL),
    ):
        step = decide(a_bunker(status=status), situation(seen))
        assert step.act is expected
        assert step.reason == "VMM died\n--- console ---\nOops"
    bare = decide(a_bunker(), situation(FAILED))
    assert bare.reason == "the machine failed"


def test_a_long_console_is_cut_to_its_end() -> None:
    seen = machine(MachineState.FAILED, reason="r" * 9999, console_tail="x" * 99_999 + "END")
    reason = decide(a_bunker(), situation(seen)).reason
    assert reason is not None
    assert len(reason) < 8192
    assert reason.endswith("END")


@pytest.mark.parametrize(
    ("status", "desired", "seen", "expected"),
    [
        (State.RUNNING, Desired.RUNNING, RUNNING, Act.NOTHING),
        (State.RUNNING, Desired.RUNNING, Absence.UNKNOWN, Act.NOTHING),
        (State.RUNNING, Desired.RUNNING, Absence.ABSENT, Act.FAIL),
        (State.RUNNING, Desired.RUNNING, PAUSED, Act.RESUME),
        (State.RUNNING, Desired.PAUSED, RUNNING, Act.PAUSE),
        (State.RUNNING, Desired.PAUSED, Absence.UNKNOWN, Act.PAUSE),
        (State.RUNNING, Desired.PAUSED, PAUSED, Act.PAUSED),
        (State.PAUSED, Desired.PAUSED, PAUSED, Act.NOTHING),
        (State.PAUSED, Desired.PAUSED, RUNNING, Act.PAUSE),
        (State.PAUSED, Desired.RUNNING, PAUSED, Act.RESUME),
        (State.PAUSED, Desired.RUNNING, RUNNING, Act.RESUMED),
        (State.PAUSED, Desired.PAUSED, Absence.ABSENT, Act.FAIL),
    ],
)
def test_a_settled_bunker(
    status: State, desired: Desired, seen: MachineStatus | Absence, expected: Act
) -> None:
    assert act(a_bunker(status=status, desired=desired), situation(seen)) is expected


P, R, Z = State.PROVISIONING, State.RUNNING, State.PAUSED


@pytest.mark.parametrize(
    ("status", "desired", "seen", "expected"),
    [
        (P, Desired.RUNNING, RUNNING, Act.LOOK),
        (P, Desired.RUNNING, FAILED, Act.LOOK),
        (R, Desired.RUNNING, FAILED, Act.LOOK),
        (R, Desired.RUNNING, Absence.ABSENT, Act.LOOK),
        (R, Desired.RUNNING, PAUSED, Act.LOOK),
        (R, Desired.PAUSED, PAUSED, Act.PAUSE),
        (Z, Desired.PAUSED, RUNNING, Act.LOOK),
        (Z, Desired.RUNNING, RUNNING, Act.RESUME),
        (Z, Desired.PAUSED, FAILED, Act.LOOK),
        (Z, Desired.PAUSED, Absence.ABSENT, Act.LOOK),
    ],
)
def test_what_was_seen_before_the_row_was_so_moves_nothing(
    status: State, desired: Desired, seen: MachineStatus | Absence, expected: Act
) -> None:
    bunker = a_bunker(status=status, desired=desired, placed_at=NOW)
    assert act(bunker, situation(seen, age_s=5.0, known_s=4.9)) is expected
    assert act(bunker, situation(seen, age_s=4.9, known_s=4.9)) is not expected


@pytest.mark.parametrize(
    ("status", "desired", "seen", "expected"),
    [
        (R, Desired.RUNNING, Absence.ABSENT, Act.LOOK),
        (R, Desired.PAUSED, PAUSED, Act.PAUSE),
        (Z, Desired.RUNNING, RUNNING, Act.RESUME),
        (R, Desired.RUNNING, FAILED, Act.FAIL),
    ],
)
def test_a_report_may_have_waited_on_its_way(
    status: State, desired: Desired, seen: MachineStatus | Absence, expected: Act
) -> None:
    bunker = a_bunker(status=status, desired=desired)
    assert act(bunker, situation(seen, asked=False)) is expected


def test_a_machine_that_was_seen_since_it_was_placed_needs_no_second_look() -> None:
    """Another replica has ordered it, and this one hears that it runs."""
    bunker = a_bunker(status=State.PROVISIONING, placed_at=NOW)
    later = NOW + timedelta(seconds=10)
    for age_s, expected in ((9.0, Act.START), (11.0, Act.LOOK)):
        seen = situation(RUNNING, now=later, age_s=age_s, known_s=0.1, asked=False)
        assert act(bunker, seen) is expected


def test_a_machine_that_was_last_seen_before_its_time_was_over_is_looked_at() -> None:
    """It may run: nobody has listened, perhaps for long."""
    bunker = a_bunker(status=State.PROVISIONING)
    late = NOW + timedelta(seconds=90)
    for seen, age_s in ((BUILDING, 31.0), (Absence.ABSENT, 31.0), (Absence.UNKNOWN, 0.0)):
        assert act(bunker, situation(seen, now=late, age_s=age_s)) is Act.LOOK
    for seen in (BUILDING, Absence.ABSENT):
        assert act(bunker, situation(seen, now=late, age_s=29.0)) is Act.FAIL


@pytest.mark.parametrize("seen", [RUNNING, Absence.ABSENT, Absence.UNKNOWN])
def test_what_runs_on_a_lost_worker_is_left_alone(seen: MachineStatus | Absence) -> None:
    for desired in (Desired.RUNNING, Desired.PAUSED):
        assert act(a_bunker(desired=desired), situation(seen, worker_lost=True)) is Act.NOTHING


@pytest.mark.parametrize("status", [State.PROVISIONING, State.RUNNING, State.PAUSED])
def test_what_is_to_end_is_removed(status: State) -> None:
    bunker = a_bunker(status=status, desired=Desired.TERMINATED, desired_reason="ended by x")
    for seen in (RUNNING, BUILDING, FAILED, Absence.UNKNOWN, Absence.ABSENT):
        assert decide(bunker, situation(seen)) == Step(Act.REMOVE, "ended by x")
    lost = decide(bunker, situation(worker_lost=True))
    assert lost.act is Act.END
    assert lost.reason is not None
    assert "offline" in lost.reason


def test_a_pending_bunker_ends_without_asking_anybody() -> None:
    bunker = a_bunker(status=State.PENDING, desired=Desired.TERMINATED)
    assert act(bunker, situation()) is Act.END


@pytest.mark.parametrize("status", [State.PENDING, State.PROVISIONING, State.RUNNING])
def test_time_that_is_up_comes_before_all_else(status: State) -> None:
    step = decide(a_bunker(status=status), situation(RUNNING, overdue="too old"))
    assert step == Step(Act.EXPIRE, "too old")


@pytest.mark.parametrize(
    ("seen", "changes", "expected"),
    [
        (RUNNING, {"copied": False}, Act.NOTHING),
        (RUNNING, {}, Act.RETURN),
        (PAUSED, {}, Act.RETURN),
        (Absence.UNKNOWN, {"worker_lost": True}, Act.RETURN),
        (Absence.UNKNOWN, {"worker_lost": True, "copied": False}, Act.NOTHING),
        (FAILED, {"copied": False}, Act.FAIL),
        (FAILED, {"age_s": 200, "copied": False}, Act.LOOK),
        (Absence.ABSENT, {"copied": False}, Act.FAIL),
        (Absence.ABSENT, {"asked": False}, Act.LOOK),
    ],
    ids=[
        "copied-now",
        "copied",
        "was-paused",
        "worker-lost",
        "lost-and-not-told",
        "dead",
        "dead-long-ago",
        "gone",
        "not-named",
    ],
)
def test_a_bunker_stands_still_until_it_is_copied(
    seen: MachineStatus | Absence, changes: dict[str, Any], expected: Act
) -> None:
    bunker = a_bunker(status=State.SNAPSHOTTING, capturing_snapshot_id="snp_1")
    assert act(bunker, situation(seen, **changes)) is expected


def test_a_bunker_without_its_snapshot_says_why() -> None:
    bunker = a_bunker(status=State.SNAPSHOTTING, capturing_snapshot_id="snp_1")
    step = decide(bunker, situation(RUNNING, copy_failure="no space"))
    assert step == Step(Act.RETURN, "its snapshot failed: no space")


def test_a_bunker_that_is_to_end_is_not_copied_first() -> None:
    bunker = a_bunker(status=State.SNAPSHOTTING, desired=Desired.TERMINATED)
    assert act(bunker, situation(RUNNING, copied=False)) is Act.REMOVE
