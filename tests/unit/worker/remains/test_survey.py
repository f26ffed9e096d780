"""Whose things are on a host, and whether their worker can come back."""

import shutil
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from scaibunker.worker import cgroups
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.remains import note, survey
from scaibunker.worker.remains.reclaim import reclaim
from scaibunker.worker.remains.survey import Places, Standing

WORKER = "wrk_surveyed"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setattr(cgroups, "workers", set)
    ranges = Ranges(IPv4Network("10.238.0.0/20"), IPv6Network("fd5c:a1ba:7e3b::/64"))
    return Places(tmp_path / "run", tmp_path / "claims", ranges)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "worker-id").write_text(WORKER)
    return folder


def leave(places: Places, data: Path) -> None:
    """What a daemon leaves that was killed while it had machines."""
    with note.kept(places.note(WORKER), data, lambda: True):
        (places.runtime_dir / WORKER).mkdir()


def standing(places: Places) -> Standing:
    (found,) = survey.workers(places)
    assert (found.id, found.things) == (WORKER, ("sockets",))
    return found.standing


def test_a_daemon_that_lives_is_seen(places: Places, data: Path) -> None:
    path = places.note(WORKER)
    with note.kept(path, data, lambda: survey.leaves_something(places, WORKER)):
        (places.runtime_dir / WORKER).mkdir()
        assert standing(places) is Standing.RUNNING
        with pytest.raises(WorkerFault, match="lives on this host"), note.held(path):
            pass
        (places.runtime_dir / WORKER).rmdir()
    assert not places.runtime_dir.exists()


def test_a_worker_with_its_folder_can_come_back(places: Places, data: Path) -> None:
    leave(places, data)
    assert standing(places) is Standing.STOPPED
    (data / "worker-id").write_text("")  # damaged, not gone
    assert standing(places) is Standing.STOPPED


def test_a_worker_without_its_folder_cannot(places: Places, data: Path) -> None:
    leave(places, data)
    (data / "worker-id").write_text("wrk_another")
    assert standing(places) is Standing.LOST
    shutil.rmtree(data)
    assert standing(places) is Standing.LOST
    data.write_text("no folder")
    assert standing(places) is Standing.LOST


def test_what_nothing_is_known_of_is_said_to_be_so(places: Places, data: Path) -> None:
    leave(places, data)
    places.note(WORKER).write_text("{")
    assert standing(places) is Standing.UNKNOWN


async def test_only_what_is_lost_is_taken_away_unasked(places: Places, data: Path) -> None:
    leave(places, data)
    assert await reclaim(places) == []
    with pytest.raises(WorkerFault, match="can come back"):
        await reclaim(places, [WORKER])
    places.note(WORKER).unlink()
    assert await reclaim(places) == []
    assert (places.runtime_dir / WORKER).exists()
