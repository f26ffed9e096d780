"""Snapshots of real machines: what ran goes on in a bunker that is made of one, and nothing that must
be its own is the other's."""

import concurrent.futures
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from scaibunker.sdk import Bunker, BunkerStatus, Client, NotFound, Snapshot, SnapshotStatus
from tests.e2e.counting import Tally, counted_in_common, goes_on, start_counter, tally
from tests.e2e.stack import DevStack
from tests.waiting import wait_until

CLOCK_OFF_S = 0.5
SHAPE = {"memory_mb": 256, "disk_mb": 256}
FIRST_COMMAND = """
date +%s.%N
hostname
cat /etc/hostname
cat /proc/sys/kernel/random/uuid
od -An -N16 -tx1 /dev/urandom | tr -d ' '
cat /run/scaibunker/generation
"""


@pytest.fixture(scope="module")
def client(stack: DevStack) -> Iterator[Client]:
    with Client.from_profile(stack.data_dir / "credentials.json") as client:
        yield client


@dataclass
class First:
    """What the first command of a bunker saw, between two moments of this host."""

    before: float
    clock: float
    after: float
    names: set[str]
    random: set[str]
    generation: str


@dataclass
class Copied:
    """A bunker that counted, and its snapshots, between two tallies of which the full one was made."""

    bunker: Bunker
    blob: bytes
    disk: Snapshot
    full: Snapshot
    before: Tally
    after: Tally
    first: First
    progress: list[Snapshot] = field(default_factory=list)


@pytest.fixture(scope="module")
def copied(client: Client) -> Copied:
    bunker = client.bunkers.create(image="debian-12", wait=True, **SHAPE)  # type: ignore[arg-type]
    first = look(bunker)
    blob = os.urandom(300_000)
    bunker.files.write("/home/bunker/blob", blob)
    start_counter(bunker)
    progress: list[Snapshot] = []
    disk = bunker.snapshot("disk", name="files")
    before = tally(bunker)
    full = bunker.snapshot("full", on_progress=progress.append)
    after = goes_on(bunker, tally(bunker))
    bunker.delete()
    return Copied(bunker, blob, disk, full, before, after, first, progress)


@pytest.fixture(scope="module")
def clones(client: Client, copied: Copied) -> list[Bunker]:
    """Two bunkers of one full snapshot, made at the same time."""

    def make(_: int) -> Bunker:
        return client.bunkers.create(snapshot_id=copied.full.id, wait=True)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(make, range(2)))


@pytest.fixture(scope="module")
def firsts(clones: list[Bunker]) -> list[First]:
    return [look(clone) for clone in clones]


def look(bunker: Bunker) -> First:
    before = time.time()
    words = bunker.exec(FIRST_COMMAND, check=True).stdout.split()
    after = time.time()
    clock, name, written_name, uuid, random, generation = words
    return First(before, float(clock), after, {name, written_name}, {uuid, random}, generation)


def test_a_bunker_is_copied_and_goes_on(copied: Copied) -> None:
    assert copied.bunker.status is BunkerStatus.TERMINATED
    for snapshot in (copied.disk, copied.full):
        assert (snapshot.status, snapshot.progress) == (SnapshotStatus.READY, 1.0)
        assert (snapshot.size_bytes or 0) > 300_000
        assert (snapshot.bunker_id, snapshot.disk_mb) == (copied.bunker.id, 256)
    seen = [record.progress for record in copied.progress]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_what_ran_goes_on(copied: Copied, clones: list[Bunker], firsts: list[First]) -> None:
    for clone in clones:
        assert clone.files.read("/home/bunker/blob") == copied.blob
        now = goes_on(clone, copied.before)
        assert (now.process, now.token) == (copied.after.process, copied.after.token)
        # It has gone on where it was copied, not where the copied one has got to since.
        common = counted_in_common(now, copied.after)
        assert copied.before.count <= common < copied.after.count


def test_the_clock_is_right(copied: Copied, firsts: list[First]) -> None:
    asleep_s = firsts[0].before - (copied.full.ready_at or copied.full.created_at).timestamp()
    assert asleep_s > 2 * CLOCK_OFF_S, "the test does not test what it should"
    for first in firsts:
        assert first.before - CLOCK_OFF_S < first.clock < first.after + CLOCK_OFF_S


def test_nothing_random_is_the_same(
    copied: Copied, clones: list[Bunker], firsts: list[First]
) -> None:
    drawn = [copied.first.random, *(first.random for first in firsts)]
    assert len(set.union(*drawn)) == 2 * len(drawn)
    assert len({copied.first.generation, *(first.generation for first in firsts)}) == 3
    # What goes on draws numbers as well: from the first one on they are others in each machine.
    one, other = (goes_on(clone, copied.before) for clone in clones)
    same = counted_in_common(one, other)
    assert same < min(one.count, other.count)
    new = [*one.randoms[same:], *other.randoms[same:]]
    assert len({*new, *copied.after.randoms}) == len(new) + copied.after.count


def test_names_are_the_new_ones(copied: Copied, clones: list[Bunker], firsts: list[First]) -> None:
    for bunker, first in zip([copied.bunker, *clones], [copied.first, *firsts], strict=True):
        assert first.names == {bunker.id.replace("_", "-")}
    for clone in clones:
        assert clone.record.snapshot_id == copied.full.id
        assert (clone.record.memory_mb, clone.record.disk_mb) == (256, 256)


def test_the_files_alone_on_a_larger_disk(stack: DevStack, copied: Copied) -> None:
    look = "cd; sha256sum < blob; stat -f -c '%b %S' /; cut -d ' ' -f 4 count"
    done = stack.cli("run", "--snapshot", "files", "--disk", "512M", "--", "sh", "-c", look)
    assert done.returncode == 0, done.stderr
    digest, _, blocks, block_size, *randoms = done.stdout.decode().split()
    assert digest == hashlib.sha256(copied.blob).hexdigest()
    assert int(blocks) * int(block_size) > 400 << 20
    assert 0 < len(randoms) <= copied.before.count
    assert randoms == list(copied.after.randoms[: len(randoms)])


def test_a_last_snapshot(stack: DevStack, client: Client, clones: list[Bunker]) -> None:
    clone, before = clones[0], tally(clones[0])
    done = stack.cli("bunker", "rm", "--snapshot", "--kind", "full", clone.id, "--json")
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in json.loads(done.stdout)] == ["terminated"]
    assert stack.vmm_pids(clone.id) == []
    [last] = client.snapshots.list(bunker_id=clone.id)
    assert (last.kind, last.status) == ("full", "ready")
    with client.bunkers.create(snapshot_id=last.id, wait=True) as again:
        goes_on(again, before)


def test_a_snapshot_that_is_deleted(
    stack: DevStack, client: Client, copied: Copied, clones: list[Bunker]
) -> None:
    before = tally(clones[1])
    assert client.snapshots.delete(copied.full.id).id == copied.full.id
    with pytest.raises(NotFound, match="SNAPSHOT_NOT_FOUND"):
        client.snapshots.get(copied.full.id)
    with pytest.raises(NotFound, match="SNAPSHOT_NOT_FOUND"):
        client.bunkers.create(snapshot_id=copied.full.id)
    goes_on(clones[1], before)
    objects = stack.data_dir / "objects"
    wait_until(
        lambda: not list(objects.glob(f"**/{copied.full.id}/memory*")),
        60,
        lambda: "its memory's end",
    )
    # Its disk stays for the snapshot that says only what differs from it.
    [last] = client.snapshots.list(bunker_id=clones[0].id)
    with client.bunkers.create(snapshot_id=last.id, wait=True) as again:
        assert again.files.read("/home/bunker/blob") == copied.blob
    assert list(objects.glob(f"**/{copied.disk.id}/*"))
