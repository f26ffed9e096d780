"""A fleet under load: each part is killed in turn, a worker is cut off, another's clock is wrong; and
nothing that was acknowledged is lost, and nothing is left over.

The tests of this file stand in their order: they share the fleet, its load, and a bunker on each
worker that lives through all of them.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import CUTTABLE, ROOMY_DISK_MB, WRONG_CLOCK, Fleet, installed_fleet
from tests.e2e.load import Acknowledged, Client, Load
from tests.waiting import wait_until

CLIENTS = 2


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with installed_fleet(tmp_path_factory.mktemp("fleet")) as made:
        yield made


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> Iterator[Client]:
    with fleet.client() as http:
        yield Client(http)


@pytest.fixture(scope="module")
def standing(fleet: Fleet, client: Client) -> list[Acknowledged]:
    """A bunker on each worker."""
    kept: dict[str, Acknowledged] = {}
    spare = []
    while len(kept) < len(fleet.fleet):  # placement is as good as it may be, not exact
        assert len(kept) + len(spare) < 5 * len(fleet.fleet)
        bunker = client.create()
        if kept.setdefault(fleet.worker_of(bunker.id).id, bunker) is not bunker:
            spare.append(bunker)
    for bunker in spare:
        client.delete(bunker)
    standing = [kept[worker.id] for worker in fleet.fleet]
    for bunker in standing:
        client.until_runs(bunker)
    return standing


@pytest.fixture(scope="module")
def load(fleet: Fleet, standing: list[Acknowledged]) -> Iterator[Load]:
    load = Load(fleet.client, CLIENTS)
    load.start()
    try:
        yield load
    finally:
        load.stop()


@contextlib.contextmanager
def undisturbed(fleet: Fleet, client: Client, bunkers: list[Acknowledged]) -> Iterator[None]:
    """The machines that run now are the same ones afterwards, and have all that was written."""
    for bunker in bunkers:
        client.write(bunker)
    before = [fleet.vmms(bunker.id) for bunker in bunkers]
    yield
    for bunker in bunkers:
        client.write(bunker)
        client.check(bunker)
    assert [fleet.vmms(bunker.id) for bunker in bunkers] == before


def test_a_worker_daemon_is_killed(
    fleet: Fleet, client: Client, standing: list[Acknowledged], load: Load
) -> None:
    worker = fleet.fleet[0]
    load.a_new_round()
    with undisturbed(fleet, client, standing):
        worker.process.signal(signal.SIGKILL)
        fleet.until(worker, "offline")
        load.a_new_round()
        assert client.status(standing[0])["status"] == "running"
        worker.process.start()
        fleet.until(worker, "online")


def test_a_controller_is_killed(
    fleet: Fleet, client: Client, standing: list[Acknowledged], load: Load
) -> None:
    replica = fleet.replicas[0]
    with undisturbed(fleet, client, standing):
        replica.signal(signal.SIGKILL)
        load.a_new_round()
        replica.start()
        replica.until_ready()


def test_redis_is_killed_and_comes_back_empty(
    fleet: Fleet, client: Client, standing: list[Acknowledged], load: Load
) -> None:
    with undisturbed(fleet, client, standing):
        fleet.redis.kill()
        load.a_new_round()
        fleet.redis.start()
    load.a_new_round()


def test_mariadb_is_killed(
    fleet: Fleet, client: Client, standing: list[Acknowledged], load: Load
) -> None:
    with undisturbed(fleet, client, standing):
        fleet.database.kill()
        load.is_disturbed()
        fleet.database.start()
    load.a_new_round()


def test_a_worker_is_cut_off(
    fleet: Fleet, client: Client, standing: list[Acknowledged], load: Load
) -> None:
    worker, goes_on = fleet.fleet[CUTTABLE], standing[CUTTABLE]
    unwanted, lost = (client.create(disk_mb=ROOMY_DISK_MB) for _ in range(2))
    for bunker in (unwanted, lost):
        client.until_runs(bunker)
        assert fleet.worker_of(bunker.id) is worker
    with undisturbed(fleet, client, standing):
        worker.host.cut_off()
        fleet.until(worker, "offline")
        had = _on(fleet, worker.id)
        load.a_new_round()
        assert _on(fleet, worker.id) <= had, "it was given a bunker"
        for bunker in (goes_on, lost):
            assert client.status(bunker)["status"] == "running"
        client.delete(unwanted)
        assert client.status(unwanted)["status"] == "terminated"
        assert len(fleet.vmms(unwanted.id)) == 1, "nobody can have told its worker"
        # It loses a machine, disk and all, while nobody hears of it.
        worker.process.signal(signal.SIGKILL)
        _destroy(fleet, worker.folder / "machines" / lost.id)
        worker.process.start()
        worker.host.join()
        fleet.until(worker, "online")
        wait_until(lambda: not fleet.vmms(unwanted.id), 30, lambda: "the unwanted one to be gone")
        wait_until(
            lambda: client.status(lost)["status"] == "failed", 30, lambda: str(client.status(lost))
        )
    assert client.status(lost)["status_reason"] == "lost by its worker"
    load.a_new_round()


def test_a_clock_is_wrong(
    fleet: Fleet, client: Client, standing: list[Acknowledged], load: Load
) -> None:
    worker, there = fleet.fleet[WRONG_CLOCK], standing[WRONG_CLOCK]
    other = int(client.exec(standing[0], "date +%s")["stdout"])
    ahead = int(client.exec(there, "date +%s")["stdout"]) - other
    assert 3500 < ahead < 3700, "the test does not test what it should"
    seen = fleet.seen(worker)
    assert (seen["status"], seen["heartbeat_age_s"] < 10) == ("online", True), seen
    # It is given bunkers like any other; and they live as long as they may, and no longer.
    made: list[Acknowledged] = []
    while not made or fleet.worker_of(made[-1].id) is not worker:
        assert len(made) <= len(fleet.fleet) + CLIENTS
        made.append(client.create(idle_timeout_s=10, max_lifetime_s=600))
    for bunker in made[:-1]:
        client.delete(bunker)
    idle = made[-1]
    client.until_runs(idle)
    client.write(idle)
    client.check(idle)
    wait_until(
        lambda: client.status(idle)["status"] == "terminated", 90, lambda: "it to have been idle"
    )
    assert client.status(idle)["status_reason"] == "it was idle for 10 s"
    assert client.status(there)["status"] == "running"


def test_at_the_end_everything_agrees(
    fleet: Fleet, client: Client, standing: list[Acknowledged], load: Load
) -> None:
    load.stop()
    assert load.wrong == []
    fleet.until_agreed()  # while there are some
    everything = [*load.bunkers, *standing]
    rows = dict(fleet.rows("SELECT id, status FROM scaibunker_bunkers"))
    for bunker in everything:
        assert rows[bunker.id] == ("terminated" if bunker.ended else "running")
    logged = dict(fleet.rows("SELECT id, exit_code FROM scaibunker_execs"))
    for bunker in everything:
        for exec_id in bunker.execs:
            assert logged[exec_id] == "3"
    names = fleet.rows("SELECT name FROM scaibunker_bunkers")
    assert len({name for (name,) in names}) == len(names), "a key made two bunkers"
    failed = fleet.rows("SELECT id, status_reason FROM scaibunker_bunkers WHERE status = 'failed'")
    assert [reason for _, reason in failed] == ["lost by its worker"]

    for bunker in standing:
        client.delete(bunker)
    fleet.until_agreed()
    assert fleet.machines() == []
    for process in (*fleet.background, *fleet.replicas, *fleet.workers):
        assert process.signal(signal.SIGTERM) == 0, process.log.read_text()[-2000:]
    assert not fleet.run_folder.exists()


def _on(fleet: Fleet, worker_id: str) -> set[str]:
    found = fleet.rows("SELECT id, worker_id FROM scaibunker_bunkers")
    return {bunker for bunker, worker in found if worker == worker_id}


def _destroy(fleet: Fleet, machine: Path) -> None:
    """Its VMM and all that its worker knows of it."""
    (pid,) = fleet.vmms(machine.name)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not fleet.vmms(machine.name), 10, lambda: "the VMM's end")
    shutil.rmtree(machine)
