"""When a bunker is to sleep, and the steps to sleep and back."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import mysql

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.decide import Act, Situation, Step, decide
from scaibunker.controller.bunkers.domain import Bunker, Desired, Limits, Network
from scaibunker.controller.bunkers.errors import BunkerNotRunning
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.objects.errors import StorageUnavailable
from scaibunker.controller.passivation import refusals
from scaibunker.controller.passivation.domain import may_stay_awake, why_asleep
from scaibunker.controller.quotas.domain import Resource, kept_asleep
from scaibunker.controller.scheduler.errors import EveryWorkerFailed
from scaibunker.controller.workers.fleet import Absence
from scaibunker.wire.api.bunkers import LifecycleMode, NetworkProfile
from scaibunker.wire.worker.machines import MachineState
from tests.unit.controller.builders import NOW, a_bunker
from tests.unit.controller.situations import machine, situation

FROZEN, RUNS, FAILED = (
    machine(state) for state in (MachineState.PAUSED, MachineState.RUNNING, MachineState.FAILED)
)
PERSISTENT: dict[str, Any] = {
    "lifecycle_mode": LifecycleMode.PERSISTENT,
    "limits": Limits(None, 900),
}


def persistent(**changes: Any) -> Bunker:
    return a_bunker(**{**PERSISTENT, **changes})


def falling(**changes: Any) -> Bunker:
    """One that is wanted asleep."""
    values = {"desired": Desired.PASSIVATED, "passivated_from": Desired.RUNNING, **changes}
    return persistent(**values)


def asleep(**changes: Any) -> Bunker:
    values: dict[str, Any] = {
        "status": State.PAUSED,
        "passivated": True,
        "passive_snapshot_id": "snp_1",
        "worker_id": None,
        "placed_at": None,
    }
    return falling(**{**values, **changes})


def waking(**changes: Any) -> Bunker:
    values = {"desired": Desired.RUNNING, "waking_since": NOW, "worker_id": "wrk_1", **changes}
    return asleep(**values)


class TestWhen:
    """It must sleep."""

    def why(
        self, b: Bunker, now: datetime, used: datetime = NOW, emptied: datetime | None = None
    ) -> str | None:
        return why_asleep(b, now, used, emptied, 60)

    def test_when_it_was_idle(self) -> None:
        late = NOW + timedelta(seconds=900)
        assert self.why(persistent(), late) == "it was idle for 900 s"
        assert self.why(persistent(), late - timedelta(seconds=1)) is None
        assert self.why(persistent(status=State.PAUSED, desired=Desired.PAUSED), late) is not None

    @pytest.mark.parametrize(
        "changes",
        [
            {"lifecycle_mode": LifecycleMode.SESSION},
            {"network": Network(NetworkProfile.TRANSIT)},
            {"passivated": True},
            {"desired": Desired.PASSIVATED},
            {"desired": Desired.TERMINATED},
            {"passivate_after": NOW + timedelta(seconds=901)},
            {"limits": Limits(None, None)},
        ],
    )
    def test_some_never_do(self, changes: dict[str, Any]) -> None:
        assert self.why(persistent(**changes), NOW + timedelta(seconds=900)) is None

    def test_when_its_worker_is_emptied_and_it_is_quiet_or_took_too_long(self) -> None:
        later = NOW + timedelta(seconds=30)
        assert self.why(persistent(), later, emptied=NOW) == "its worker is being emptied"
        assert self.why(persistent(), later, used=later, emptied=NOW) is None
        end = NOW + timedelta(seconds=60)
        assert self.why(persistent(), end, used=end, emptied=NOW) is not None

    def test_when_it_was_awake_for_long_enough(self) -> None:
        b = persistent(limits=Limits(3600, 900), expires_at=NOW)
        later = NOW + timedelta(seconds=5)
        assert self.why(b, later) == "it was awake for 3600 s"
        assert self.why(b, later, used=later) is None
        assert not may_stay_awake(b, later, None)
        assert may_stay_awake(b, NOW - timedelta(seconds=1), None)
        assert not may_stay_awake(persistent(), later, NOW)


class TestFallingAsleep:
    """Frozen first, then copied, then let go of."""

    @pytest.mark.parametrize(
        ("bunker", "s", "expected"),
        [
            (persistent(), situation(RUNS, passivate="idle"), Act.PASSIVATE),
            (persistent(), situation(RUNS, passivate="idle", worker_lost=True), Act.NOTHING),
            (falling(), situation(RUNS), Act.PAUSE),
            (falling(), situation(FROZEN), Act.PAUSED),
            (falling(status=State.PAUSED), situation(FROZEN), Act.COPY),
            (falling(status=State.PAUSED), situation(FROZEN, asked=False), Act.LOOK),
            (falling(status=State.PAUSED), situation(Absence.UNKNOWN), Act.LOOK),
            (falling(status=State.PAUSED), situation(RUNS), Act.PAUSE),
            (falling(status=State.PAUSED), situation(FAILED), Act.FAIL),
        ],
    )
    def test_up_to_its_copy(self, bunker: Bunker, s: Situation, expected: Act) -> None:
        assert decide(bunker, s).act is expected

    def copying(self, **changes: Any) -> Bunker:
        values: dict[str, Any] = {
            "status": State.SNAPSHOTTING,
            "capturing_snapshot_id": "snp_1",
            "passive_snapshot_id": "snp_1",
            **changes,
        }
        return falling(**values)

    def test_while_it_is_copied(self) -> None:
        wait = situation(FROZEN, copied=False)
        assert decide(self.copying(), wait).act is Act.NOTHING
        # It may be copied already; if not, it is lost when that is known.
        assert decide(self.copying(), situation(FAILED, copied=False)).act is Act.NOTHING
        assert decide(falling(status=State.PAUSED), situation(FAILED)).act is Act.FAIL
        for seen in (FROZEN, FAILED, Absence.ABSENT):
            assert decide(self.copying(), situation(seen, copy_ready=True)).act is Act.RETURN
        failed = situation(FROZEN, copy_failure="no space")
        assert decide(self.copying(), failed) == Step(Act.RETURN)

    def test_somebody_wants_it_meanwhile(self) -> None:
        wanted = self.copying(desired=Desired.RUNNING)
        assert decide(wanted, situation(FROZEN, copied=False)).act is Act.CALL_OFF
        waiting = situation(FROZEN, copied=False, copy_called_off=True)
        assert decide(wanted, waiting).act is Act.NOTHING
        copied = falling(status=State.PAUSED, desired=Desired.RUNNING, passive_snapshot_id="snp_1")
        assert decide(copied, situation(FROZEN, copy_ready=True)).act is Act.ABANDON

    def test_another_copy_is_not_what_it_sleeps_in(self) -> None:
        other = self.copying(passive_snapshot_id=None, desired=Desired.RUNNING)
        assert decide(other, situation(RUNS, copied=False)).act is Act.NOTHING
        reason = "its snapshot failed: no space"
        done = situation(RUNS, copy_failure="no space")
        assert decide(other, done) == Step(Act.RETURN, reason)

    @pytest.mark.parametrize("seen", [FROZEN, FAILED, Absence.ABSENT, Absence.UNKNOWN])
    def test_once_its_copy_is_stored_its_machine_does_not_matter(self, seen: Any) -> None:
        copied = falling(status=State.PAUSED, passive_snapshot_id="snp_1")
        for lost in (False, True):
            s = situation(seen, copy_ready=True, worker_lost=lost)
            assert decide(copied, s).act is Act.RELEASE

    def test_without_a_copy_it_stays(self) -> None:
        copied = falling(status=State.PAUSED, passive_snapshot_id="snp_1")
        failed = decide(copied, situation(FROZEN, copy_failure="no space"))
        assert failed == Step(Act.ABANDON, "no space")
        went_on = decide(copied, situation(RUNS, copy_ready=True))
        assert went_on == Step(Act.ABANDON, "its machine went on")
        # That it ran before it was frozen says nothing.
        old = situation(RUNS, copy_ready=True, age_s=5.0, known_s=4.0)
        assert decide(copied, old).act is Act.RELEASE


class TestWaking:
    """Somebody wants it."""

    @pytest.mark.parametrize("seen", [RUNS, FROZEN, FAILED, Absence.ABSENT, Absence.UNKNOWN])
    def test_nobody_does(self, seen: Any) -> None:
        for lost in (False, True):
            assert decide(asleep(), situation(seen, worker_lost=lost)).act is Act.NOTHING

    def test_it_ends_without_asking_anybody(self) -> None:
        for bunker in (asleep(), waking(worker_id=None)):
            ending = a_bunker(
                **{
                    **PERSISTENT,
                    "status": bunker.status,
                    "passivated": True,
                    "worker_id": None,
                    "desired": Desired.TERMINATED,
                    "desired_reason": "ended by x",
                }
            )
            assert decide(ending, situation(worker_lost=True)) == Step(Act.END, "ended by x")

    @pytest.mark.parametrize(
        ("bunker", "s", "expected"),
        [
            (waking(worker_id=None), situation(worker_lost=True), Act.WAKE),
            (waking(), situation(Absence.UNKNOWN), Act.CLEAR),
            (waking(), situation(FROZEN), Act.CLEAR),
            (waking(), situation(worker_lost=True), Act.REPLACE),
            (waking(placed_at=NOW), situation(Absence.ABSENT), Act.ORDER),
            (waking(placed_at=NOW), situation(RUNS), Act.WOKEN),
            (waking(placed_at=NOW), situation(RUNS, asked=False), Act.LOOK),
            (waking(placed_at=NOW), situation(RUNS, age_s=5.0, known_s=4.0), Act.ORDER),
            (waking(placed_at=NOW), situation(FROZEN), Act.LOOK),
            (waking(placed_at=NOW), situation(FAILED, asked=False), Act.LOOK),
            (waking(placed_at=NOW), situation(FAILED), Act.REPLACE),
            (waking(placed_at=NOW), situation(machine(MachineState.BUILDING)), Act.NOTHING),
            (
                waking(placed_at=NOW),
                situation(Absence.ABSENT, now=NOW + timedelta(seconds=20)),
                Act.REORDER,
            ),
            (
                waking(placed_at=NOW),
                situation(machine(MachineState.BUILDING), now=NOW + timedelta(seconds=60)),
                Act.REPLACE,
            ),
            (
                waking(placed_at=NOW),
                situation(RUNS, now=NOW + timedelta(seconds=60)),
                Act.WOKEN,
            ),
        ],
    )
    def test_step_by_step(self, bunker: Bunker, s: Situation, expected: Act) -> None:
        assert decide(bunker, s).act is expected

    def test_it_never_fails(self) -> None:
        """What it sleeps in is there, whatever becomes of the machine that is made of it."""
        for seen in (FAILED, Absence.ABSENT, Absence.UNKNOWN, FROZEN):
            for lost in (False, True):
                for late in (0, 1000):
                    s = situation(seen, worker_lost=lost, now=NOW + timedelta(seconds=late))
                    assert decide(waking(placed_at=NOW), s).act is not Act.FAIL


def test_a_refusal_is_told_as_it_was() -> None:
    details = [{"field": "memory_mb", "message": "too little", "free": 3}]
    for error in (
        EveryWorkerFailed("None could.", details=details),
        StorageUnavailable(retry_after=10),
        BunkerNotRunning("It sleeps.", hint="Wait."),
    ):
        told = refusals.read(refusals.written(error))
        assert (told.code, told.message, told.hint) == (error.code, error.message, error.hint)
        assert (told.details, told.retry_after) == (error.details, error.retry_after)
        assert told.kind is error.kind


def test_what_sleeps_holds_its_disk_and_its_place() -> None:
    amounts = dict.fromkeys(Resource, 7)
    left = kept_asleep("bnk_1", {"user:a": amounts, "group:b": amounts})
    assert set(left.buckets) == {"user:a", "group:b"}
    assert {(bucket, r, n) for bucket, r, n, _ in left.lines()} == {
        (bucket, resource, 7)
        for bucket in ("user:a", "group:b")
        for resource in (Resource.PERSISTENT_BUNKERS, Resource.DISK_MB)
    }


def test_those_that_sleep_are_left_out_by_an_index() -> None:
    """MariaDB reads every row for `IS FALSE`."""
    left_out = str(repository._AWAKE.compile(dialect=mysql.dialect()))  # type: ignore[no-untyped-call]
    assert left_out == "scaibunker_bunkers.passivated = false"
    indexed = [[c.name for c in index.columns] for index in bunkers.indexes]
    assert ["passivated", "status", "desired"] in indexed
