"""What is known of a machine, and how old it is."""

import pytest

from scaibunker.controller.workers.fleet import Absence, Fleet
from scaibunker.wire.worker.machines import MachineState, MachineStatus
from tests.unit.controller.hands import Hands

RUNNING = MachineStatus(bunker_id="bnk_1", state=MachineState.RUNNING)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def fleet(clock: Hands) -> Fleet:
    return Fleet(clock, 30)


def test_nothing_heard_is_nothing_known(fleet: Fleet) -> None:
    assert fleet.sight("wrk_1", "bnk_1").machine is Absence.UNKNOWN


def test_a_report_is_the_whole_truth(fleet: Fleet, clock: Hands) -> None:
    fleet.report("wrk_1", [RUNNING])
    clock.seconds += 3
    seen = fleet.sight("wrk_1", "bnk_1")
    assert (seen.machine, seen.age_s) == (RUNNING, 3)
    assert fleet.sight("wrk_1", "bnk_2").machine is Absence.ABSENT
    assert fleet.sight("wrk_2", "bnk_1").machine is Absence.UNKNOWN
    fleet.report("wrk_1", [])
    assert fleet.sight("wrk_1", "bnk_1").machine is Absence.ABSENT


def test_what_a_worker_answers_counts_until_its_next_report(fleet: Fleet, clock: Hands) -> None:
    fleet.report("wrk_1", [])
    assert not fleet.sight("wrk_1", "bnk_1").asked
    fleet.observe("wrk_1", "bnk_1", RUNNING, clock.seconds)
    seen = fleet.sight("wrk_1", "bnk_1")
    assert (seen.machine, seen.asked) == (RUNNING, True)
    fleet.observe("wrk_1", "bnk_1", None, clock.seconds)
    assert fleet.sight("wrk_1", "bnk_1").machine is Absence.ABSENT
    fleet.report("wrk_1", [RUNNING])
    assert not fleet.sight("wrk_1", "bnk_1").asked


def test_an_answer_is_as_old_as_its_question(fleet: Fleet, clock: Hands) -> None:
    fleet.report("wrk_1", [RUNNING])
    fleet.observe("wrk_1", "bnk_1", None, clock.seconds - 1)
    assert fleet.sight("wrk_1", "bnk_1").machine == RUNNING  # which was seen since
    clock.seconds += 3
    fleet.observe("wrk_1", "bnk_1", None, clock.seconds - 2)
    seen = fleet.sight("wrk_1", "bnk_1")
    assert (seen.machine, seen.age_s) == (Absence.ABSENT, 2)
    fleet.observe("wrk_1", "bnk_1", None, clock.seconds)
    assert fleet.sight("wrk_1", "bnk_1").machine is Absence.ABSENT


def test_what_was_not_heard_again_is_not_known_any_more(fleet: Fleet, clock: Hands) -> None:
    """Another replica may have heard something newer meanwhile."""
    fleet.report("wrk_1", [])
    fleet.observe("wrk_1", "bnk_1", None, clock.seconds)
    assert fleet.sight("wrk_1", "bnk_1").machine is Absence.ABSENT
    clock.seconds += 31
    assert fleet.sight("wrk_1", "bnk_1").machine is Absence.UNKNOWN
    assert fleet.sight("wrk_1", "bnk_2").machine is Absence.UNKNOWN
