"""When a bunker's time is up, and when its worker counts as gone."""

from datetime import timedelta

import pytest

from scaibunker.controller.bunkers.domain import Limits
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.workers.domain import Presence, WorkerStatus
from scaibunker.wire.api.bunkers import LifecycleMode
from tests.unit.controller.builders import NOW, a_bunker, a_worker


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_lifetime_counts_from_the_creation() -> None:
    bunker = a_bunker(expires_at=NOW + after(10), limits=Limits(10, None))
    assert bunker.overdue(NOW + after(9.9), NOW) is None
    assert bunker.overdue(NOW + after(10), NOW) == "its lifetime of 10 s is over"


def test_idle_time_counts_from_the_last_activity() -> None:
    bunker = a_bunker(limits=Limits(None, 5))
    assert bunker.overdue(NOW + after(100), NOW + after(95.1)) is None
    assert bunker.overdue(NOW + after(100), NOW + after(95)) == "it was idle for 5 s"


@pytest.mark.parametrize("status", [State.PENDING, State.PROVISIONING])
def test_what_does_not_run_yet_is_not_idle(status: State) -> None:
    bunker = a_bunker(status=status, limits=Limits(None, 5))
    assert bunker.overdue(NOW + after(100), NOW) is None


def test_a_persistent_bunker_is_never_overdue() -> None:
    bunker = a_bunker(lifecycle_mode=LifecycleMode.PERSISTENT, limits=Limits(1, 1), expires_at=NOW)
    assert bunker.overdue(NOW + after(1e6), NOW) is None


def listened(presence: Presence, since: float, until: float) -> None:
    """It listens from one second to another."""
    second = since
    while second <= until:
        presence.listening(NOW + after(second))
        second += 1


def test_a_worker_is_offline_after_its_silence() -> None:
    presence = Presence(30, NOW)
    worker = a_worker(last_heartbeat_at=NOW)
    listened(presence, 0, 30)
    assert presence.status(worker, NOW + after(29)) is WorkerStatus.ONLINE
    assert presence.status(worker, NOW + after(30)) is WorkerStatus.OFFLINE
    assert presence.status(a_worker(draining=True), NOW) is WorkerStatus.DRAINING


def test_silence_counts_from_the_controllers_start() -> None:
    started = NOW + after(3600)
    presence = Presence(30, started)
    worker = a_worker(last_heartbeat_at=NOW)
    listened(presence, 3600, 3630)
    assert not presence.is_online(worker, started + after(1))  # no new bunkers for it yet
    assert not presence.is_lost(worker, started + after(29))  # and its work is not given away
    assert presence.is_lost(worker, started + after(30))


def test_silence_counts_only_while_somebody_listens() -> None:
    presence = Presence(30, NOW)
    worker = a_worker(last_heartbeat_at=NOW + after(5))
    listened(presence, 0, 25)
    # The database goes away, or this process is stopped, and comes back at 100.
    for second in (31, 50, 99):
        assert not presence.is_lost(worker, NOW + after(second))
    assert presence.status(worker, NOW + after(99)) is WorkerStatus.ONLINE
    assert presence.interrupted_until(NOW + after(99)) == NOW + after(99)
    listened(presence, 100, 129)
    assert not presence.is_lost(worker, NOW + after(129))
    assert presence.is_online(worker, NOW + after(129))
    assert presence.interrupted_until(NOW + after(129)) == NOW + after(100)
    listened(presence, 130, 130)
    assert presence.is_lost(worker, NOW + after(130))
    assert presence.status(worker, NOW + after(130)) is WorkerStatus.OFFLINE


def test_who_was_silent_before_an_interruption_is_not_online_after_it() -> None:
    presence = Presence(30, NOW)
    worker = a_worker(last_heartbeat_at=NOW)
    listened(presence, 0, 40)
    assert presence.is_lost(worker, NOW + after(40))
    presence.listening(NOW + after(100))
    assert not presence.is_online(worker, NOW + after(101))
    assert not presence.is_lost(worker, NOW + after(101))  # not to be told from the others


def test_a_short_pause_is_no_interruption() -> None:
    presence = Presence(30, NOW)
    listened(presence, 0, 10)
    listened(presence, 19, 30)
    assert presence.interrupted_until(NOW + after(30)) is None
    assert presence.is_lost(a_worker(last_heartbeat_at=NOW), NOW + after(30))


def test_interruptions_that_follow_each_other_are_one() -> None:
    presence = Presence(30, NOW)
    worker = a_worker(last_heartbeat_at=NOW + after(5))
    listened(presence, 0, 10)
    for began in range(60, 300, 60):
        listened(presence, began, began + 20)
    assert presence.is_online(worker, NOW + after(261))
    listened(presence, 261, 295)
    assert not presence.is_online(worker, NOW + after(295))


def test_a_heartbeat_that_could_not_be_recorded_is_no_silence() -> None:
    presence = Presence(30, NOW)
    worker = a_worker(last_heartbeat_at=NOW)
    listened(presence, 0, 28)
    presence.missed(NOW + after(29))
    assert not presence.is_lost(worker, NOW + after(31))
    assert presence.is_online(worker, NOW + after(31))
    assert presence.listening_since(NOW + after(31)) == NOW + after(29)
