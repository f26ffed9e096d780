"""A persistent bunker that nobody uses sleeps without a machine. Whoever uses it wakes it, and does not
see that it slept: what ran goes on."""

import concurrent.futures
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from scaibunker.sdk import Bunker, BunkerStatus, Client, LifecycleMode
from scaibunker.wire.worker.snapshots import (
    DISK_PART,
    MANIFEST_NAME,
    MAX_CHAIN,
    SnapshotManifest,
)
from tests.e2e.counting import goes_on, start_counter, tally
from tests.e2e.stack import DevStack
from tests.waiting import wait_until

IDLE_S = 1
ROUNDS, TIMES = 3, 5
ASLEEP_S = 90.0
HELPERS = 4
"""Processes that come and go while machines are kept ready; far fewer than the bunker sleeps."""
SNAPSHOTS = "objects/scaibunker/snapshots"
APART = ("logs", "objects/scaibunker/outputs", "worker/templates", SNAPSHOTS)
"""What commands and templates leave: not of those who sleep; and what is bounded by itself."""
BALLAST = 4 * 1024 * 1024
"""Bytes that are on its disk from the beginning, and never change."""
CLOCK_OFF_S = 0.5


@pytest.fixture(scope="module")
def client(stack: DevStack) -> Iterator[Client]:
    with Client.from_profile(stack.data_dir / "credentials.json") as client:
        yield client


@pytest.fixture(scope="module")
def sleeper(client: Client) -> Bunker:
    """It counts, and falls asleep whenever nobody looks at it for a second."""
    bunker = client.bunkers.create(
        image="debian-12",
        lifecycle_mode=LifecycleMode.PERSISTENT,
        idle_timeout_s=IDLE_S,
        memory_mb=128,
        disk_mb=64,
        wait=True,
    )
    bunker.files.write("/home/bunker/ballast", os.urandom(BALLAST))
    start_counter(bunker)
    return bunker


def execute(sleeper: Bunker) -> None:
    assert sleeper.exec(["true"]).ok


def use_files(sleeper: Bunker) -> None:
    sleeper.files.write("/home/bunker/note", "kept")


def resume(sleeper: Bunker) -> None:
    sleeper.resume()
    assert sleeper.status is BunkerStatus.RUNNING


@dataclass(frozen=True, slots=True)
class Footprint:
    """What there is for bunkers, and who serves them; machines that are kept ready are not counted."""

    processes: int
    files: Sequence[str]

    def is_within(self, other: "Footprint") -> bool:
        few_more = self.processes <= other.processes + HELPERS
        return few_more and len(self.files) <= len(other.files)


def stored(stack: DevStack) -> Sequence[SnapshotManifest]:
    """The snapshots that are stored, the last one first."""
    found = sorted(
        (stack.data_dir / SNAPSHOTS).glob(f"*/{MANIFEST_NAME}"), key=lambda p: -p.stat().st_mtime
    )
    return [SnapshotManifest.model_validate_json(path.read_bytes()) for path in found]


def footprint(stack: DevStack) -> Footprint:
    files = [
        f"{folder}/{name}"
        for folder, _, names in os.walk(stack.data_dir)  # whatever vanishes meanwhile
        if not folder.startswith(tuple(f"{stack.data_dir}/{part}" for part in APART))
        for name in names
    ]
    return Footprint(len(stack.pids()) - len(stack.vmm_pids()), files)


@pytest.fixture(scope="module")
def asleep(stack: DevStack, sleeper: Bunker) -> Footprint:
    """What there is while it sleeps, early in its life."""
    until_asleep(stack, sleeper)
    return footprint(stack)


WAYS: Sequence[Callable[[Bunker], None]] = (execute, use_files, resume)
"""What wakes it."""


def until_asleep(stack: DevStack, bunker: Bunker) -> None:
    wait_until(
        lambda: bunker.refresh().passivated, ASLEEP_S, lambda: f"its sleep; it is {bunker.record}"
    )
    assert bunker.status is BunkerStatus.PAUSED
    assert bunker.record.worker_id is None
    wait_until(lambda: stack.vmm_pids(bunker.id) == [], 30, lambda: "its machine's end")


def test_it_sleeps_and_wakes(stack: DevStack, client: Client, sleeper: Bunker) -> None:
    before = tally(sleeper)
    until_asleep(stack, sleeper)
    asleep_since = time.time()
    wait_until(
        lambda: not (stack.data_dir / "worker" / "machines" / sleeper.id).exists(),
        30,
        lambda: "its folder's end",
    )
    with Client.from_profile(
        stack.data_dir / "credentials.json", identity="super_admin"
    ) as operator:
        [worker] = operator.workers.list()
        assert (worker.bunkers, worker.reserved.memory_mb) == (0, 0)
    shown = stack.cli("bunker", "ls").stdout.decode()
    assert "passivated" in shown
    assert [found.id for found in client.snapshots.list()] == []  # nobody has asked for it
    wait_until(lambda: time.time() - asleep_since > 2 * CLOCK_OFF_S, 10)
    asked = time.time()
    clock, name = sleeper.exec("date +%s.%N; hostname", check=True).stdout.split()
    assert asked - CLOCK_OFF_S < float(clock) < time.time() + CLOCK_OFF_S
    assert name == sleeper.id.replace("_", "-")
    goes_on(sleeper, before)


def test_two_at_once_wake_it_once(stack: DevStack, sleeper: Bunker) -> None:
    before = tally(sleeper)
    until_asleep(stack, sleeper)

    def look(_: int) -> str:
        return sleeper.exec(["cat", "/run/scaibunker/generation"], check=True).stdout

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(look, range(2)))) == 1
        assert len(stack.vmm_pids(sleeper.id)) == 1
    goes_on(sleeper, before)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_it_sleeps_again_and_again_and_nothing_grows(
    stack: DevStack, sleeper: Bunker, asleep: Footprint, round_: int
) -> None:
    built_on_others = 0
    for number in range(TIMES):
        before = tally(sleeper)
        until_asleep(stack, sleeper)
        wait_until(
            lambda: footprint(stack).is_within(asleep),
            60,
            lambda: f"no more than {asleep}; it is {footprint(stack)}",
        )
        last, *others = stored(stack)
        assert len(others) <= MAX_CHAIN
        if last.base is not None:
            built_on_others += 1
            assert last.parts[DISK_PART].size < BALLAST / 4
        WAYS[(round_ + number) % len(WAYS)](sleeper)
        goes_on(sleeper, before)
    assert built_on_others >= TIMES - 2


def test_it_sleeps_on_while_everything_is_stopped(stack: DevStack, sleeper: Bunker) -> None:
    before = tally(sleeper)
    until_asleep(stack, sleeper)
    assert stack.stop() == 0
    assert stack.leftovers() == []
    stack.start()
    assert sleeper.refresh().passivated
    goes_on(sleeper, before)
