"""Persistent bunkers that nobody uses fall asleep, and whoever uses one wakes it. In the end what is held is
what there is: of quotas, of places, of objects and of machines."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from sqlalchemy import select, update

from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.quotas.domain import Resource
from scaibunker.controller.relay.tables import execs
from scaibunker.controller.snapshots.tables import snapshots
from scaibunker.testing.host import SimulatedHost
from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.wire.worker.machines import MachineState
from scaibunker.wire.worker.snapshots import SnapshotPhase
from scaibunker.worker.snapshots.http_store import HttpStore
from scaibunker.worker.snapshots.store import LocalStore
from scaigrid.settings import RedisSettings
from tests.integration.conftest import Template
from tests.integration.inside import whole
from tests.integration.quotas.books import SMALL, Books
from tests.integration.simulated_worker import (
    IMAGE,
    TOKEN,
    Output,
    SimulatedWorker,
    Vanish,
    beating,
    hanging,
    refuse,
)
from tests.integration.stack import Knobs, Stack, error_of
from tests.integration.test_fleet import in_step
from tests.integration.test_snapshots import objects_of
from tests.waiting import until

SIZE = {name: value for name, value in SMALL.items() if name != "image"}


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=2, passivation_patience_s=1)


BOTH = pytest.mark.parametrize("template", ["sqlite", "mariadb"], indirect=True)


@pytest.fixture
def template(request: pytest.FixtureRequest) -> Template:
    """What is a matter of the steps, and not of the statements, is tried on one database."""
    name = getattr(request, "param", "mariadb")
    made: Template = request.getfixturevalue(f"{name}_template")
    return made


@dataclass
class Sleepers:
    """The stack, and what is asked of it here."""

    stack: Stack
    worker: SimulatedWorker
    books: Books
    others: list[Stack] = field(default_factory=list)

    async def one(self, **body: Any) -> str:
        """A persistent bunker that runs."""
        fields = {**SIZE, "lifecycle_mode": "persistent", **body}
        return str((await self.stack.create(**fields))["id"])

    async def record(self, bunker_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.stack.data_of("GET", f"/bunkers/{bunker_id}")
        return found

    async def row(self, bunker_id: str) -> Any:
        async with self.stack.grid.database.read() as db:
            return await db.row(whole(select(bunkers).where(bunkers.c.id == bunker_id)))

    async def change(self, bunker_id: str, **values: Any) -> None:
        """As if it had been so for long."""
        async with self.stack.grid.database.write() as db:
            this = update(bunkers).where(bunkers.c.id == bunker_id)
            await db.execute(whole(this.values(**values)))

    def long_ago(self) -> datetime:
        return self.stack.grid.clock.now() - timedelta(days=1)

    async def idle(self, bunker_id: str) -> None:
        """Nobody has used it for a day."""
        for each in (self.stack, *self.others):
            each.controller._activity.flush()
            await each.controller._writer.flush()
        await self.change(bunker_id, last_activity_at=self.long_ago())
        self.stack.controller.reconciler.hint(bunker_id)

    async def asleep(self, bunker_id: str) -> dict[str, Any]:
        """The record once it is passivated."""
        found: dict[str, Any] = {}

        async def reached() -> bool:
            found.update(await self.record(bunker_id))
            return bool(found["passivated"])

        await until(reached, what=lambda: f"{bunker_id} to sleep; it is {found}")
        return found

    async def put_to_sleep(self, bunker_id: str) -> dict[str, Any]:
        await self.idle(bunker_id)
        return await self.asleep(bunker_id)

    async def exec(self, bunker_id: str, **body: Any) -> httpx.Response:
        fields = {"command": "hello", **body}
        return await self.stack.call("POST", f"/bunkers/{bunker_id}/exec", json=fields)

    async def says_hello(self, bunker_id: str) -> None:
        answer = await self.exec(bunker_id)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["stdout"] == "hello"

    async def until_free(self, worker: SimulatedWorker) -> None:
        await until(lambda: not worker.machines, what=lambda: f"{worker.machines} to be gone")

    async def alone(self) -> list[str]:
        """The snapshots that there are rows of, once those that go are gone."""
        found: list[str] = []

        async def settled() -> bool:
            async with self.stack.grid.database.read() as db:
                rows = await db.rows(whole(select(snapshots.c.id, snapshots.c.deleted_at)))
            found[:] = [row["id"] for row in rows]
            return all(row["deleted_at"] is None for row in rows)

        await until(settled, what=lambda: f"what is deleted of {found} to be gone")
        return found

    async def agree(self) -> None:
        await in_step(self.stack)
        await until(self.books.agrees, what=lambda: "counters to be what rows are")


@pytest.fixture
async def sleepers(stack: Stack, worker: SimulatedWorker) -> AsyncIterator[Sleepers]:
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=100_000, disk_mb=1_000_000)
    await worker.beat(stack.client)
    async with beating(worker, stack.client):
        yield Sleepers(stack, worker, Books(stack))


@contextlib.asynccontextmanager
async def another_worker(stack: Stack, name: str = "wrk_other") -> AsyncIterator[SimulatedWorker]:
    made = SimulatedWorker(name)
    made.snapshots.store = HttpStore(str(stack.client.base_url), TOKEN)
    await made.start()
    async with beating(made, stack.client):
        yield made
    await made.stop()


@BOTH
async def test_it_falls_asleep_and_whoever_uses_it_wakes_it(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    stack, books = sleepers.stack, sleepers.books
    bunker = await sleepers.one(idle_timeout_s=60, name="sleeper")
    bucket = f"user:{(await books.me())['user_id']}"
    before = await sleepers.record(bunker)
    assert await books.counted(bucket, Resource.MEMORY_MB) == 64

    record = await sleepers.put_to_sleep(bunker)
    assert (record["status"], record["worker_id"]) == ("paused", None)
    assert record["status_reason"] == "passivated: it was idle for 60 s"
    await sleepers.until_free(worker)
    held = (await books.counters.current([bucket]) or {})[bucket]
    assert {r: n for r, n in held.items() if n} == {
        Resource.PERSISTENT_BUNKERS: 1,
        Resource.DISK_MB: 64,
    }
    shown = await stack.data_of("GET", f"/workers/{worker.worker_id}", "super_admin")
    assert (shown["bunkers"], shown["reserved"]["memory_mb"]) == (0, 0)
    [snapshot] = await sleepers.alone()
    assert objects_of(stack, snapshot) == {"disk.zst", "manifest.json"}
    assert await stack.data_of("GET", "/snapshots") == []  # it is nobody's to see
    await sleepers.agree()

    await sleepers.says_hello(bunker)
    record = await sleepers.record(bunker)
    assert (record["status"], record["passivated"]) == ("running", False)
    assert record["worker_id"] == worker.worker_id
    assert (record["started_at"], record["snapshot_id"]) == (before["started_at"], None)
    assert record["last_activity_at"] > before["last_activity_at"]
    source = worker.machines[bunker].spec.snapshot
    assert source is not None
    assert (source.snapshot_id, source.kind, source.keep_execs) == (snapshot, "full", True)
    assert await sleepers.alone() == []
    await until(lambda: objects_of(stack, snapshot) == set())
    assert await books.counted(bucket, Resource.MEMORY_MB) == 64
    await sleepers.agree()

    await stack.data_of("DELETE", f"/bunkers/{bunker}")
    answer = await stack.call("GET", f"/bunkers/{bunker}/events")
    names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == ["status"] * 6 + ["passivated"] + ["status"] * 2
    assert await books.counters.counted() == {}


@BOTH
async def test_many_at_once_wake_it_once(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    await sleepers.until_free(worker)
    worker.built.clear()
    path = f"/bunkers/{bunker}"
    stack = sleepers.stack
    answers = await asyncio.gather(
        *(sleepers.exec(bunker) for _ in range(4)),
        stack.call("POST", f"{path}/exec", json={"command": "x", "detach": True}),
        stack.call("POST", f"{path}/exec", json={"command": "x", "stream": True}),
        stack.call("PUT", f"{path}/files", params={"path": "/home/a"}, content=b"a"),
        stack.call("POST", f"{path}/files/mkdir", json={"path": "/home/b"}),
        stack.call("POST", f"{path}/resume"),
    )
    assert [a.status_code for a in answers] == [200] * 4 + [202] + [200] * 4
    assert worker.built == [bunker]
    await sleepers.agree()


async def test_what_asks_nothing_of_it_lets_it_sleep(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    await sleepers.says_hello(bunker)
    await sleepers.put_to_sleep(bunker)
    await sleepers.until_free(worker)
    worker.built.clear()
    path = f"/bunkers/{bunker}"
    [entry] = await stack.data_of("GET", f"{path}/execs")
    assert (await stack.data_of("GET", f"{path}/execs/{entry['exec_id']}"))["exit_code"] == 0
    await stack.data_of("POST", f"{path}/keepalive")
    assert (await stack.data_of("POST", f"{path}/pause"))["passivated"] is True
    refused = await stack.call("POST", f"{path}/snapshot", json={"kind": "disk"})
    assert error_of(refused)[0] == 409
    # What is refused anyway wakes nobody.
    for who, body, status in (
        ("user", {"command": "x", "timeout_s": 0}, 422),
        ("user", {"command": "x", "stdin_base64": "!"}, 422),
        ("viewer", {"command": "x"}, 403),
        ("stranger", {"command": "x"}, 404),
    ):
        answer = await stack.call("POST", f"{path}/exec", who, json=body)
        assert answer.status_code == status, answer.text
    answer = await stack.call("GET", f"{path}/files", params={"path": "relative"})
    assert answer.status_code == 422
    assert (await sleepers.record(bunker))["passivated"] is True
    assert worker.built == []


async def test_a_worker_is_emptied(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    """Those that can move sleep, and wake up elsewhere; the others go on."""
    stack = sleepers.stack
    moves, busy = await sleepers.one(), await sleepers.one()
    stays = (await stack.create(**SIZE))["id"]

    async def to_its_end(_: ExecStart, output: Output) -> None:
        await output.out(b"begun")
        await until(lambda: busy not in worker.machines, 60)
        raise Vanish

    worker.commands["forever"] = to_its_end
    running = asyncio.create_task(sleepers.exec(busy, command="forever", timeout_s=600))
    await until(lambda: bool(worker.machines[busy].execs))
    async with another_worker(stack) as other:
        await until_online(stack, other)
        path = f"/workers/{worker.worker_id}/drain"
        drained = await stack.data_of("POST", path, "super_admin", json={"passivate": True})
        assert drained["status"] == "draining"
        assert drained["emptied_since"] is not None
        await asyncio.gather(sleepers.asleep(moves), sleepers.asleep(busy))
        await until(lambda: set(worker.machines) == {stays})
        answer = await running
        assert error_of(answer) == (502, "WORKER_UNREACHABLE")  # it was in use for too long
        assert "had started" in answer.json()["error"]["message"]
        for each in (moves, busy):
            await sleepers.says_hello(each)
            assert (await sleepers.record(each))["worker_id"] == other.worker_id
        assert await stack.status(stays) == "running"
        resumed = await stack.data_of("POST", f"/workers/{worker.worker_id}/resume", "super_admin")
        assert resumed["emptied_since"] is None
        await sleepers.agree()


async def until_online(stack: Stack, worker: SimulatedWorker) -> None:
    async def known() -> bool:
        found = await stack.data_of("GET", "/workers", "super_admin")
        return worker.worker_id in {each["id"] for each in found}

    await until(known)
    await stack.controller._view.bring_up_to_date(stack.grid.clock.monotonic())


@BOTH
async def test_without_quota_it_sleeps_on(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack, books = sleepers.stack, sleepers.books
    profile = await books.profile((await books.me())["tenant_id"], max_memory_mb=64)
    await books.assign(profile, "user", (await books.me())["user_id"], "individual")
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    other = (await stack.create(**SIZE))["id"]
    for answer in await asyncio.gather(sleepers.exec(bunker), sleepers.exec(bunker)):
        assert error_of(answer) == (429, "BUNKER_QUOTA_EXCEEDED")
        [entry] = answer.json()["error"]["details"]
        assert (entry["profile"], entry["resource"]) == (profile, "memory_mb")
        assert (entry["current"], entry["requested"], entry["cap"]) == (64, 64, 64)
    record = await sleepers.record(bunker)
    assert (record["passivated"], record["status"]) == (True, "paused")
    assert "not woken" in record["status_reason"]
    await sleepers.agree()
    await stack.data_of("DELETE", f"/bunkers/{other}")
    await sleepers.says_hello(bunker)
    await sleepers.agree()


async def test_without_a_place_it_sleeps_on(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack, books = sleepers.stack, sleepers.books
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=63, disk_mb=1_000_000)
    await worker.beat(stack.client)
    answer = await sleepers.exec(bunker)
    assert error_of(answer) == (503, "WORKER_UNAVAILABLE")
    [entry] = answer.json()["error"]["details"]
    assert entry["field"] == "memory_mb"
    worker.images = []
    await worker.beat(stack.client)
    answer = await stack.call("POST", f"/bunkers/{bunker}/resume")
    assert error_of(answer) == (503, "NO_SUITABLE_WORKER")
    bucket = f"user:{(await books.me())['user_id']}"
    assert await books.counted(bucket, Resource.MEMORY_MB) == 0
    assert (await sleepers.record(bunker))["passivated"] is True
    await sleepers.agree()
    worker.images = ["a" * 64]
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=64, disk_mb=1_000_000)
    await worker.beat(stack.client)
    await sleepers.says_hello(bunker)


async def test_one_that_is_wanted_as_it_falls_asleep_waits_for_a_place_as_long(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """A resume that found it paused has written its wish just when it was passivated."""
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    worker.capacity = Capacity(cpu_millicores=100_000, memory_mb=63, disk_mb=1_000_000)
    await worker.beat(sleepers.stack.client)
    await sleepers.change(bunker, desired="running")
    sleepers.stack.controller.reconciler.hint(bunker)

    async def told() -> bool:
        return "not woken" in ((await sleepers.record(bunker))["status_reason"] or "")

    await until(told)
    assert (await sleepers.row(bunker))["desired"] == "passivated"
    await sleepers.agree()


async def test_twenty_times_asleep_and_awake(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack = sleepers.stack
    bunker = await sleepers.one()
    for turn in range(20):
        await sleepers.put_to_sleep(bunker)
        if turn % 2:
            await stack.data_of("POST", f"/bunkers/{bunker}/resume")
        else:
            await sleepers.says_hello(bunker)
    assert await sleepers.alone() == []
    assert set(worker.machines) == {bunker}
    assert worker.snapshots.known == {}
    root = stack.data / "objects/scaibunker/snapshots"
    await until(lambda: not any(path.is_file() for path in root.rglob("*")))
    await sleepers.agree()
    row = await sleepers.row(bunker)
    for column in ("passive_snapshot_id", "waking_since", "wake_refusal", "passivated_from"):
        assert row[column] is None, column


class TestOnItsWayToSleep:
    """It is frozen and being copied."""

    async def copying(self, sleepers: Sleepers, bunker: str) -> str:
        """Have it copied; returns the snapshot's id."""
        sleepers.worker.snapshots.goes_to = SnapshotPhase.CAPTURING
        await sleepers.idle(bunker)
        await sleepers.stack.until_status(bunker, "snapshotting")
        await until(lambda: bool(sleepers.worker.snapshots.known))
        [snapshot] = sleepers.worker.snapshots.known
        return snapshot

    @pytest.mark.parametrize("phase", ["capturing", "storing"])
    async def test_whoever_uses_it_keeps_it_awake(
        self, sleepers: Sleepers, worker: SimulatedWorker, phase: str
    ) -> None:
        stack = sleepers.stack
        bunker = await sleepers.one()
        snapshot = await self.copying(sleepers, bunker)
        assert worker.machines[bunker].state is MachineState.PAUSED
        await worker.snapshots.advance(snapshot, SnapshotPhase(phase))
        worker.built.clear()
        await sleepers.says_hello(bunker)
        record = await sleepers.record(bunker)
        assert (record["status"], record["status_reason"]) == ("running", None)
        assert worker.built == []
        assert await sleepers.alone() == []
        assert snapshot in worker.snapshots.forgotten
        await sleepers.agree()
        worker.snapshots.goes_to = SnapshotPhase.STORED
        await sleepers.put_to_sleep(bunker)
        await stack.data_of("DELETE", f"/bunkers/{bunker}")

    async def test_one_that_was_paused_is_resumed_by_word_alone(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        stack = sleepers.stack
        bunker = await sleepers.one()
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await self.copying(sleepers, bunker)
        assert error_of(await sleepers.exec(bunker)) == (409, "BUNKER_NOT_RUNNING")
        assert (await stack.data_of("POST", f"/bunkers/{bunker}/resume"))["status"] == "running"
        await sleepers.says_hello(bunker)

    async def test_its_end_takes_all_along(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        bunker = await sleepers.one()
        snapshot = await self.copying(sleepers, bunker)
        await sleepers.stack.data_of("DELETE", f"/bunkers/{bunker}")
        assert await sleepers.alone() == []
        assert objects_of(sleepers.stack, snapshot) == set()
        assert await sleepers.books.counters.counted() == {}

    async def test_a_machine_that_is_lost_when_its_copy_is_stored_is_not(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        """It sleeps, and its worker may have lost it for good."""
        bunker = await sleepers.one()
        snapshot = await self.copying(sleepers, bunker)
        await worker.snapshots.advance(snapshot, SnapshotPhase.STORED)
        worker.become(bunker, MachineState.FAILED, "the power was cut")
        await sleepers.asleep(bunker)
        await sleepers.says_hello(bunker)

    async def test_a_copy_that_fails_leaves_it_as_it_was(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        stack = sleepers.stack
        worker.snapshots.fault = "storage is away"
        runs, paused = await sleepers.one(), await sleepers.one()
        await stack.data_of("POST", f"/bunkers/{paused}/pause")
        for bunker, status in ((runs, "running"), (paused, "paused")):
            await sleepers.idle(bunker)

            async def told(bunker: str = bunker) -> bool:
                record = await sleepers.record(bunker)
                return "not passivated: storage is away" in (record["status_reason"] or "")

            await until(told)
            record = await stack.until_status(bunker, status)
            assert "storage is away" in record["status_reason"]
            assert record["passivated"] is False
            assert (await sleepers.row(bunker))["passivate_after"] > stack.grid.clock.now()
        assert await sleepers.alone() == []
        worker.snapshots.fault = None
        for bunker in (runs, paused):
            assert len(set(worker.snapshots.orders)) == 2  # not tried again yet
            await sleepers.change(bunker, passivate_after=sleepers.long_ago())
        await asyncio.gather(sleepers.asleep(runs), sleepers.asleep(paused))
        await sleepers.says_hello(paused)  # it sleeps: whoever uses it wakes it


class TestWhatCannotBeWoken:
    """It sleeps on, and nothing of it is lost."""

    async def test_storage_is_away(self, sleepers: Sleepers, worker: SimulatedWorker) -> None:
        bunker = await sleepers.one()
        await sleepers.put_to_sleep(bunker)
        worker.restores = lambda _: ("cannot read disk.zst", "STORAGE_UNAVAILABLE")
        answer = await sleepers.exec(bunker)
        assert error_of(answer) == (503, "STORAGE_UNAVAILABLE")
        assert "cannot read disk.zst" in (await sleepers.record(bunker))["status_reason"]
        await sleepers.until_free(worker)
        await sleepers.agree()
        worker.restores = lambda _: None
        await sleepers.says_hello(bunker)

    async def test_what_is_stored_is_not_what_it_was(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        bunker = await sleepers.one()
        await sleepers.put_to_sleep(bunker)
        worker.restores = lambda _: ("the snapshot's memory.zst is not what was stored", "")
        async with another_worker(sleepers.stack) as other:
            other.restores = worker.restores
            await until_online(sleepers.stack, other)
            worker.built.clear()
            answer = await sleepers.exec(bunker)
            assert error_of(answer) == (409, "BUNKER_NOT_RUNNING")
            assert "not what was stored" in answer.json()["error"]["message"]
            assert (worker.built, other.built) == ([bunker], [bunker])
            assert (await sleepers.record(bunker))["passivated"] is True
            await sleepers.agree()

    async def test_memory_that_fits_another_worker(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        bunker = await sleepers.one()
        await sleepers.put_to_sleep(bunker)
        worker.restores = lambda _: ("saved by another VMM", "SNAPSHOT_INCOMPATIBLE")
        async with another_worker(sleepers.stack) as other:
            await until_online(sleepers.stack, other)
            await sleepers.says_hello(bunker)
            assert (await sleepers.record(bunker))["worker_id"] == other.worker_id
            source = other.machines[bunker].spec.snapshot
            assert source is not None
            assert source.kind == "full"
            await sleepers.agree()

    async def test_memory_that_fits_a_worker_that_cannot_just_now(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        """It is not given up for that."""
        bunker = await sleepers.one()
        await sleepers.put_to_sleep(bunker)
        worker.restores = lambda source: (
            ("saved by another VMM", "SNAPSHOT_INCOMPATIBLE") if source.kind == "full" else None
        )
        async with another_worker(sleepers.stack) as other:
            other.restores = lambda _: ("cannot read memory.zst", "STORAGE_UNAVAILABLE")
            await until_online(sleepers.stack, other)
            answer = await sleepers.exec(bunker)
            assert answer.status_code in (409, 503), answer.text
            assert (await sleepers.record(bunker))["passivated"] is True
            await sleepers.agree()
            other.restores = lambda _: None
            await sleepers.says_hello(bunker)
            source = other.machines[bunker].spec.snapshot
            assert source is not None
            assert source.kind == "full"

    async def test_memory_that_fits_no_worker(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        """It boots from its disk, and says so."""
        stack = sleepers.stack
        worker.commands["forever"] = hanging()
        bunker = await sleepers.one()
        started = await sleepers.exec(bunker, command="forever", detach=True)
        await sleepers.put_to_sleep(bunker)
        worker.restores = lambda source: (
            ("saved by another VMM", "SNAPSHOT_INCOMPATIBLE") if source.kind == "full" else None
        )
        await sleepers.says_hello(bunker)
        record = await sleepers.record(bunker)
        assert (record["status"], record["passivated"]) == ("running", False)
        assert "its processes are gone" in record["status_reason"]
        source = worker.machines[bunker].spec.snapshot
        assert source is not None
        assert (source.kind, source.keep_execs) == ("disk", False)
        exec_id = started.json()["data"]["exec_id"]
        entry = await stack.data_of("GET", f"/bunkers/{bunker}/execs/{exec_id}")
        assert entry["state"] == "lost"
        assert "its processes are gone" in entry["error"]

    async def test_a_worker_that_takes_no_order(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        bunker = await sleepers.one()
        await sleepers.put_to_sleep(bunker)

        async def no(_: web.Request) -> web.StreamResponse:
            return refuse(422, "VALIDATION_ERROR", "it has no zstd")

        worker.faults[f"PUT /v1/machines/{bunker}"] = no
        answer = await sleepers.exec(bunker)
        assert error_of(answer) == (409, "BUNKER_NOT_RUNNING")
        assert "no zstd" in answer.json()["error"]["message"]
        worker.faults.clear()
        await sleepers.says_hello(bunker)
        await sleepers.agree()

    async def test_one_that_takes_long_is_waited_for_a_while(
        self, sleepers: Sleepers, worker: SimulatedWorker
    ) -> None:
        bunker = await sleepers.one()
        await sleepers.put_to_sleep(bunker)
        await sleepers.until_free(worker)
        worker.boot = "building"
        call = asyncio.create_task(sleepers.exec(bunker))
        await until(lambda: bunker in worker.machines)
        assert not call.done()
        worker.become(bunker, MachineState.RUNNING)
        answer = await call
        assert answer.status_code == 200, answer.text


async def test_an_old_machine_is_not_taken_for_the_new_one(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """Its worker could not be told that it sleeps, and still has it, frozen, when it is to wake there."""
    bunker = await sleepers.one()

    refused = 0

    async def no(_: web.Request) -> web.StreamResponse:
        nonlocal refused
        refused += 1
        return refuse(500, "INTERNAL_ERROR", "not now")

    worker.faults[f"DELETE /v1/machines/{bunker}"] = no
    worker.built.clear()
    old = worker.machines[bunker]
    await sleepers.put_to_sleep(bunker)
    await until(lambda: refused == 1)
    worker.machines[bunker] = old  # nor was the heartbeat's answer heard
    call = asyncio.create_task(sleepers.exec(bunker))
    await until(lambda: refused > 1)
    assert worker.built == []
    assert (await sleepers.record(bunker))["status"] == "paused"
    worker.faults.clear()
    answer = await call
    assert answer.status_code == 200, answer.text
    assert worker.machines[bunker] is not old


@BOTH
async def test_commands_go_on_when_it_wakes(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    """Their time stands still meanwhile, and what its old worker says of them at its end does not count."""
    stack = sleepers.stack
    worker.commands["forever"] = hanging()
    bunker = await sleepers.one()
    started = await sleepers.exec(bunker, command="forever", detach=True, timeout_s=60)
    exec_id = started.json()["data"]["exec_id"]
    await sleepers.put_to_sleep(bunker)
    async with stack.grid.database.write() as db:
        ago = stack.grid.clock.now() - timedelta(hours=1)
        await db.execute(whole(update(execs).values(deadline_at=ago + timedelta(seconds=60))))
        await db.execute(whole(update(snapshots).values(created_at=ago)))
    path = f"/bunkers/{bunker}/execs/{exec_id}"
    await stack.run_task("scaibunker.sweep_timeouts")
    assert (await stack.data_of("GET", path))["state"] == "running"
    await sleepers.says_hello(bunker)
    await stack.run_task("scaibunker.sweep_timeouts")
    assert (await stack.data_of("GET", path))["state"] == "running"
    async with stack.grid.database.read() as db:
        query = select(execs.c.deadline_at).where(execs.c.id == exec_id)
        assert await db.value(whole(query)) > stack.grid.clock.now()


async def test_the_end_of_one_that_sleeps(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    stack = sleepers.stack
    worker.commands["forever"] = hanging()
    bunker = await sleepers.one()
    started = await sleepers.exec(bunker, command="forever", detach=True)
    await sleepers.put_to_sleep(bunker)
    [snapshot] = await sleepers.alone()
    ended = await stack.data_of("DELETE", f"/bunkers/{bunker}")
    assert (ended["status"], ended["status_reason"]) == ("terminated", "ended by user")
    assert ended["passivated"] is False
    await stack.run_task("scaibunker.sweep_timeouts")
    path = f"/bunkers/{bunker}/execs/{started.json()['data']['exec_id']}"
    assert (await stack.data_of("GET", path))["state"] == "lost"  # time stands still no more
    assert await sleepers.books.counters.counted() == {}
    assert await sleepers.alone() == []
    assert objects_of(stack, snapshot) == set()
    refused = await sleepers.exec(bunker)
    assert error_of(refused) == (409, "BUNKER_NOT_RUNNING")


async def test_one_that_was_awake_for_long_enough(
    sleepers: Sleepers, worker: SimulatedWorker
) -> None:
    """Each time that it wakes its time begins anew."""
    bunker = await sleepers.one(max_lifetime_s=3600)
    assert (await sleepers.record(bunker))["expires_at"] is not None
    await sleepers.change(bunker, expires_at=sleepers.long_ago())
    record = await sleepers.asleep(bunker)
    assert record["status_reason"] == "passivated: it was awake for 3600 s"
    await sleepers.says_hello(bunker)
    record = await sleepers.record(bunker)
    assert datetime.fromisoformat(record["expires_at"]) > sleepers.stack.grid.clock.now()


async def test_redis_is_wiped_meanwhile(sleepers: Sleepers, worker: SimulatedWorker) -> None:
    books = sleepers.books
    bunker = await sleepers.one()
    await sleepers.put_to_sleep(bunker)
    await books.wipe()
    await sleepers.says_hello(bunker)
    await sleepers.agree()
    await sleepers.idle(bunker)
    await books.wipe()
    await sleepers.asleep(bunker)
    await sleepers.stack.run_task("scaibunker.mend_holds")
    await sleepers.agree()


async def test_two_replicas_wake_it_once(
    sleepers: Sleepers, worker: SimulatedWorker, redis_settings: RedisSettings
) -> None:
    stack = sleepers.stack
    other = Stack(
        stack.data, stack.database_settings, redis_settings, stack.keys, replace(stack.knobs)
    )
    await other.start()
    sleepers.others.append(other)
    try:
        bunker = await sleepers.one()
        for _ in range(3):
            await sleepers.put_to_sleep(bunker)
            await sleepers.until_free(worker)
            worker.built.clear()
            there = other.call("POST", f"/bunkers/{bunker}/exec", json={"command": "hello"})
            answers = await asyncio.gather(sleepers.exec(bunker), there)
            assert [a.status_code for a in answers] == [200, 200]
            assert set(worker.machines) == {bunker}
            await sleepers.agree()
    finally:
        await other.stop()


async def test_from_one_real_daemon_to_another(bare: Stack, tmp_path: Path) -> None:
    """What was in it is in it: its files, and the token that its agent knows it by."""
    store = LocalStore(bare.data / "objects/scaibunker/snapshots")
    async with contextlib.AsyncExitStack() as held:
        hosts: dict[str, SimulatedHost] = {}
        for name in ("one", "two"):
            host = SimulatedHost(
                tmp_path / "hosts",
                name,
                controller_url=str(bare.client.base_url),
                token=TOKEN,
                images={IMAGE: 1 << 30},
                heartbeat_interval_s=bare.knobs.heartbeat_interval_s,
            )
            host.hardware.store = store
            held.push_async_callback(host.close)
            await host.start()
            hosts[host.id] = host

        async def both_known() -> bool:
            return len(await bare.data_of("GET", "/workers", "super_admin")) == len(hosts)

        await until(both_known)
        await bare.controller._view.bring_up_to_date(bare.grid.clock.monotonic())
        sleepers = Sleepers(bare, SimulatedWorker(), Books(bare))
        bunker = await sleepers.one()
        path, query = f"/bunkers/{bunker}/files", {"path": "/home/bunker/kept"}
        await bare.data_of("PUT", path, params=query, content=b"what I was at")
        was = (await sleepers.record(bunker))["worker_id"]
        await bare.data_of("POST", f"/workers/{was}/drain?passivate=true", "super_admin")
        await sleepers.asleep(bunker)
        await until(lambda: not hosts[was].machines)
        found = await bare.call("GET", path, params=query)
        assert found.content == b"what I was at"
        now = (await sleepers.record(bunker))["worker_id"]
        assert now != was
        assert set(hosts[now].machines) == {bunker}
        assert await sleepers.alone() == []
        await sleepers.agree()
