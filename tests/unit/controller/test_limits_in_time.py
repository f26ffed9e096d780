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


def test_a_worker_is_offline_after_its_silence() -> None:
    presence = Presence(30, NOW)
    worker = a_worker(last_heartbeat_at=NOW)
    assert presence.status(worker, NOW + after(29)) is WorkerStatus.ONLINE
    assert presence.status(worker, NOW + after(30)) is WorkerStatus.OFFLINE
    assert presence.status(a_worker(draining=True), NOW) is WorkerStatus.DRAINING


def test_silence_counts_from_the_controllers_start() -> None:
    started = NOW + after(3600)
    presence = Presence(30, started)
    worker = a_worker(last_heartbeat_at=NOW)
    assert not presence.is_online(worker, started + after(1))  # no new bunkers for it yet
    assert not presence.is_lost(worker, started + after(29))  # and its work is not given away
    assert presence.is_lost(worker, started + after(30))
