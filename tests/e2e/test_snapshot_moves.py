"""A full snapshot of one worker's machine goes on as another worker's."""

from collections.abc import Iterator

import pytest

from scaibunker.sdk import Client, SnapshotStatus, Unavailable
from tests.e2e.counting import goes_on, start_counter, tally
from tests.e2e.second_worker import second_worker
from tests.e2e.stack import DevStack

SMALL = {"memory_mb": 256, "disk_mb": 128}


@pytest.fixture
def second(stack: DevStack) -> Iterator[str]:
    with second_worker(stack) as worker:
        yield worker


def client(stack: DevStack, identity: str) -> Client:
    return Client.from_profile(stack.data_dir / "credentials.json", identity=identity)


def test_it_goes_on_where_there_is_room(stack: DevStack, second: str) -> None:
    with client(stack, "user") as user, client(stack, "super_admin") as operator:
        bunker = user.bunkers.create(image="debian-12", wait=True, **SMALL)  # type: ignore[arg-type]
        first = str(bunker.record.worker_id)
        there = {first, second}
        assert {worker.id for worker in operator.workers.list()} >= there
        other = next(worker.id for worker in operator.workers.list() if worker.id != first)
        bunker.files.write("/home/bunker/note", "kept\n")
        start_counter(bunker)
        before = tally(bunker)
        snapshot = bunker.snapshot("full")
        bunker.delete()
        operator.workers.drain(first)
        moved = user.bunkers.create(snapshot_id=snapshot.id, wait=True)
        assert moved.record.worker_id == other
        assert moved.files.read("/home/bunker/note") == b"kept\n"
        now = goes_on(moved, before)
        # And back again, out of a copy that this worker made; the first one's daemon fetches it.
        again = moved.snapshot("full", name="second life")
        assert again.status is SnapshotStatus.READY
        operator.workers.drain(other)
        with pytest.raises(Unavailable):
            user.bunkers.create(snapshot_id=again.id)
        operator.workers.resume(first)
        back = user.bunkers.create(snapshot_id=again.id, wait=True)
        assert back.record.worker_id == first
        goes_on(back, now)
        moved.delete()
        back.delete()
        operator.workers.resume(other)
