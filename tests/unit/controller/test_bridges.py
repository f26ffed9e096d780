"""What needs work among bridges, and how often it is tried."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from scaibunker.controller.bridges.domain import Bridge
from scaibunker.controller.bridges.pace import LONGEST_S, Pace
from scaibunker.controller.bridges.reconcile import PATIENCE, _unsettled
from scaibunker.controller.bridges.reports import Report
from scaibunker.wire.api.bridges import BridgeStatus
from scaigrid.clock import SystemClock
from scaigrid.operation import Operation, System
from tests.unit.controller.builders import NOW


class Clock(SystemClock):
    """It is now."""

    def now(self) -> datetime:
        return NOW


OP = Operation(System("tests"), "req_1", Clock())
LAN = Bridge(
    id="brg_1",
    tenant_id="ten_1",
    name="lan",
    worker_id="wrk_1",
    status=BridgeStatus.READY,
    status_reason=None,
    created_at=NOW - timedelta(hours=1),
    updated_at=NOW - timedelta(hours=1),
)


def unsettled(*known: Bridge, **reported: list[str]) -> list[tuple[str, str | None]]:
    """`reported`: what each worker said just now."""
    reports = {worker: Report(frozenset(ids), NOW) for worker, ids in reported.items()}
    return list(_unsettled(known, reports, OP))


def test_what_is_as_it_should_be_is_left_alone() -> None:
    assert unsettled(LAN) == []  # nothing was heard
    assert unsettled(LAN, wrk_1=["brg_1"]) == []
    assert unsettled(LAN, wrk_2=[]) == []


def test_what_its_worker_lacks_is_looked_at() -> None:
    assert unsettled(LAN, wrk_1=[]) == [("brg_1", None)]
    # A report that came before it was made says nothing.
    assert unsettled(replace(LAN, updated_at=NOW), wrk_1=[]) == []


def test_what_was_begun_is_finished_when_nobody_else_does() -> None:
    fresh = replace(LAN, status=BridgeStatus.CREATING, updated_at=NOW - PATIENCE / 2)
    assert unsettled(fresh) == []
    assert unsettled(fresh, wrk_1=[]) == []
    assert unsettled(replace(fresh, updated_at=NOW - PATIENCE)) == [("brg_1", None)]
    assert unsettled(replace(LAN, status=BridgeStatus.DELETING)) == [("brg_1", None)]


def test_what_has_failed_is_tried_again_when_its_worker_is_heard() -> None:
    failed = replace(LAN, status=BridgeStatus.FAILED)
    assert unsettled(failed) == []
    assert unsettled(failed, wrk_1=["brg_1"]) == [("brg_1", None)]


def test_what_a_worker_should_not_have_is_taken_from_it() -> None:
    assert unsettled(wrk_1=["brg_9"]) == [("brg_9", "wrk_1")]
    assert unsettled(LAN, wrk_1=["brg_1"], wrk_2=["brg_1"]) == [("brg_1", "wrk_2")]


def test_what_does_not_come_to_an_end_is_tried_less_and_less_often() -> None:
    pace: Pace[str] = Pace(1.0)
    tried = [now for now in range(200) if pace.due(["a"], now)]
    assert tried == [0, 1, 3, 7, 15, 31, *range(61, 200, 30)]
    assert max(b - a for a, b in pairwise(tried)) == LONGEST_S


def test_what_comes_up_again_is_tried_at_once() -> None:
    pace: Pace[str] = Pace(1.0)
    assert pace.due(["a", "b"], 0) == ["a", "b"]
    assert pace.due(["b"], 0.5) == []
    assert pace.due(["a", "b"], 0.6) == ["a"]
