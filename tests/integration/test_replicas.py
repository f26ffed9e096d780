"""Two controllers on one database and one Redis: what a caller sees is one."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select, update

from scaibunker.controller.bunkers import notify, repository
from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.wire.worker.machines import MachineState
from scaigrid.operation import system_operation
from scaigrid.settings import RedisSettings
from tests.integration import people
from tests.integration.inside import whole
from tests.integration.quotas.books import SMALL, Books
from tests.integration.simulated_worker import SimulatedWorker, pausing, refuse
from tests.integration.stack import BASE, Knobs, Stack, error_of, events_of
from tests.servers import RedisServer, running
from tests.waiting import loop_time, until


@pytest.fixture
def knobs() -> Knobs:
    """The timer of no replica comes within a test: who acts is the test's to say."""
    return Knobs(reconcile_interval_s=60, request_timeout_s=5)


@pytest.fixture
async def other(bare: Stack) -> AsyncIterator[Stack]:
    """A second controller, beside `stack`."""
    made = Stack(
        bare.data, bare.database_settings, bare.redis_settings, bare.keys, replace(bare.knobs)
    )
    await made.start()
    yield made
    await made.stop()


class Asked:
    """What the worker was asked about machines, by method."""

    def __init__(self, worker: SimulatedWorker) -> None:
        self.calls: list[tuple[str, str]] = []
        for method in ("GET", "PUT", "DELETE"):
            worker.faults[f"{method} /v1/machines/"] = self._note

    async def _note(self, request: web.Request) -> None:
        self.calls.append((request.method, request.path.removeprefix("/v1/machines/")))

    def taken(self) -> list[tuple[str, str]]:
        """What it was asked since the last time."""
        taken, self.calls = self.calls, []
        return taken


async def unavailable(_: web.Request) -> web.StreamResponse:
    return refuse(503, "INTERNAL_ERROR", "busy")


async def desire(stack: Stack, bunker_id: str, desired: Desired) -> None:
    """Write what is wanted, and die before anything is done about it."""
    op = system_operation("tests", stack.grid.clock)
    async with stack.grid.database.write() as db:
        assert await repository.desire(op, db, bunker_id, desired, None)


async def settle(stack: Stack, bunker_id: str) -> None:
    """Have this replica alone look at a bunker; returns when it has."""
    reconciler = stack.controller.reconciler
    reconciler.hint(bunker_id)
    await until(lambda: bunker_id not in reconciler.at_work)


async def follow(stack: Stack, bunker_id: str, seen: list[str]) -> None:
    """Add the states of a bunker to a list as this replica tells of them, to the last one."""
    url, headers = f"{BASE}/bunkers/{bunker_id}/events", stack.headers()
    async with stack.client.stream("GET", url, headers=headers) as response:
        async for name, data in events_of(response):
            if name == "status":
                seen.append(json.loads(data)["status"])


class TestStaleSightings:
    """`other` has heard of the machine before `stack` has changed it."""

    async def test_a_report_from_before_the_order_fails_nothing(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        await worker.beat(other.client)  # no machine there yet
        bunker = (await stack.create())["id"]
        asked = Asked(worker)
        await settle(other, bunker)
        assert await stack.status(bunker) == "running"
        assert asked.taken() == [("GET", bunker)]
        worker.machines.clear()  # and when it is really gone, the answer counts
        await settle(other, bunker)
        assert await stack.status(bunker) == "running"
        await worker.beat(other.client)
        await stack.until_status(bunker, "failed")

    async def test_what_ran_before_a_pause_does_not_undo_it(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        await worker.beat(other.client)
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        asked = Asked(worker)
        await settle(other, bunker)
        assert await stack.status(bunker) == "paused"
        assert asked.taken() == [("GET", bunker)]
        assert worker.machines[bunker].state is MachineState.PAUSED

    async def test_what_ran_before_a_pause_is_no_resumption(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        await worker.beat(other.client)
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await desire(stack, bunker, Desired.RUNNING)
        await settle(other, bunker)
        assert await stack.status(bunker) == "running"
        assert worker.machines[bunker].state is MachineState.RUNNING

    async def test_an_earlier_pause_is_not_the_next_one(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await worker.beat(other.client)
        await stack.data_of("POST", f"/bunkers/{bunker}/resume")
        await desire(stack, bunker, Desired.PAUSED)
        await settle(other, bunker)
        assert await stack.status(bunker) == "paused"
        assert worker.machines[bunker].state is MachineState.PAUSED

    async def test_a_report_that_was_late_is_no_resumption(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        """It was written before the pause and arrives when the bunker is to go on."""
        bunker = (await stack.create())["id"]
        report = worker.heartbeat()
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        worker.faults[f"PUT /v1/machines/{bunker}/power"] = unavailable
        await desire(stack, bunker, Desired.RUNNING)
        await settle(stack, bunker)
        assert (await worker.send(stack.client, report)).status_code == 200
        await settle(stack, bunker)
        assert await stack.status(bunker) == "paused"
        worker.faults.clear()
        await settle(stack, bunker)
        assert await stack.status(bunker) == "running"
        assert worker.machines[bunker].state is MachineState.RUNNING

    async def test_a_decision_of_before_is_not_written_though_all_looks_as_before(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        op = system_operation("tests", stack.grid.clock)
        async with stack.grid.database.read() as db:
            read = await repository.get(op, db, bunker)
        assert read is not None
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await stack.data_of("POST", f"/bunkers/{bunker}/resume")
        async with stack.grid.database.write() as db:
            assert not await repository.expire(op, db, read, "it was idle")
            assert not await repository.move(op, db, read, State.FAILED, "lost", {})
        assert await stack.status(bunker) == "running"


class TestRoundTrips:
    """What a create costs: asking the worker again would be the safe thing, and slow."""

    async def test_one_replica_orders_and_asks_no_more(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        worker.boot = "building"
        asked = Asked(worker)
        bunker = (await stack.create(wait=False))["id"]
        await until(lambda: bunker in worker.machines)
        worker.become(bunker, MachineState.RUNNING)
        await worker.beat(stack.client)
        await stack.until_status(bunker, "running")
        assert asked.taken() == [("PUT", bunker)]

    async def test_nor_does_the_replica_that_hears_that_it_runs(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        worker.boot = "building"
        asked = Asked(worker)
        bunker = (await stack.create(wait=False))["id"]
        await until(lambda: bunker in worker.machines)
        worker.become(bunker, MachineState.RUNNING)
        await worker.beat(other.client)
        await stack.until_status(bunker, "running")
        assert asked.taken() == [("PUT", bunker)]

    async def test_pause_and_resume_ask_once_each(
        self, stack: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create())["id"]
        asked = Asked(worker)
        for act in ("pause", "resume"):
            await stack.data_of("POST", f"/bunkers/{bunker}/{act}")
            assert asked.taken() == [("PUT", f"{bunker}/power")]


async def test_who_waits_at_one_is_woken_by_the_other(
    stack: Stack, other: Stack, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks by itself: neither those who wait nor the timers."""
    monkeypatch.setattr(notify, "POLL_S", 60)
    worker.boot = "building"
    creating = asyncio.create_task(stack.create())
    await until(lambda: len(worker.machines) == 1)
    [bunker] = worker.machines
    seen: list[str] = []
    following = asyncio.create_task(follow(stack, bunker, seen))
    await until(lambda: seen == ["pending", "provisioning"])
    worker.become(bunker, MachineState.RUNNING)
    await worker.beat(other.client)
    assert (await asyncio.wait_for(creating, 60))["status"] == "running"
    await until(lambda: seen[-1] == "running")
    await other.data_of("DELETE", f"/bunkers/{bunker}")
    await asyncio.wait_for(following, 60)
    assert seen[-1] == "terminated"


class TestOneSystem:
    """What is done at one replica is seen at the other."""

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(reconcile_interval_s=0.5, request_timeout_s=5, auth_cache_ttl_s=60)

    async def test_a_life_that_is_led_at_both_is_one(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        worker.boot = "building"
        creating = asyncio.create_task(stack.create())
        await until(lambda: len(worker.machines) == 1)
        [bunker] = worker.machines
        seen: list[str] = []
        following = asyncio.create_task(follow(other, bunker, seen))
        await until(lambda: seen == ["pending", "provisioning"])
        worker.become(bunker, MachineState.RUNNING)
        await worker.beat(other.client)
        assert (await creating)["status"] == "running"
        await until(lambda: seen[-1] == "running")
        await stack.data_of("POST", f"/bunkers/{bunker}/pause")
        await until(lambda: seen[-1] == "paused")
        assert (await other.data_of("DELETE", f"/bunkers/{bunker}"))["status"] == "terminated"
        await asyncio.wait_for(following, 60)
        assert seen == ["pending", "provisioning", "running", "paused", "terminated"]

    async def test_a_heartbeat_to_one_is_known_to_both(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        second = SimulatedWorker("wrk_second")
        await second.start()
        await second.beat(other.client)
        for replica in (stack, other):
            shown = await replica.data_of("GET", "/workers", "super_admin")
            assert {w["id"]: w["status"] for w in shown} == {
                worker.worker_id: "online",
                "wrk_second": "online",
            }
        await second.stop()

    async def test_commands_at_one_while_the_other_pauses(
        self, stack: Stack, other: Stack, bunker: str
    ) -> None:
        path, answers, is_over = f"/bunkers/{bunker}", Counter[int](), False

        async def run() -> None:
            while not is_over:
                response = await stack.call("POST", f"{path}/exec", json={"command": "x"})
                answers[response.status_code] += 1
                if response.status_code != 200:
                    assert error_of(response) == (409, "BUNKER_NOT_RUNNING")

        commands = asyncio.create_task(run())
        for _ in range(5):
            assert (await other.data_of("POST", f"{path}/pause"))["status"] == "paused"
            assert await stack.status(bunker) == "paused"
            refused = await stack.call("POST", f"{path}/exec", json={"command": "x"})
            assert error_of(refused) == (409, "BUNKER_NOT_RUNNING")
            assert (await other.data_of("POST", f"{path}/resume"))["status"] == "running"
            done = await stack.data_of("POST", f"{path}/exec", json={"command": "x"})
            assert done["exit_code"] == 0
        is_over = True
        await commands
        assert answers[200] > 0

    async def test_both_end_a_bunker_at_once(
        self, stack: Stack, other: Stack, worker: SimulatedWorker, bunker: str
    ) -> None:
        path = f"/bunkers/{bunker}"
        ended = await asyncio.gather(
            *(replica.data_of("DELETE", path) for replica in (stack, other) * 3)
        )
        assert [record["status"] for record in ended] == ["terminated"] * 6
        assert len({record["terminated_at"] for record in ended}) == 1
        assert worker.machines == {}
        op = system_operation("tests", stack.grid.clock)
        async with stack.grid.database.read() as db:
            history = await repository.changes(op, db, bunker, 0)
        assert [change.status for change in history].count(State.TERMINATED) == 1

    async def test_the_last_place_is_given_away_once(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        worker.capacity = Capacity(cpu_millicores=16_000, memory_mb=300, disk_mb=65_536)
        await worker.beat(stack.client)
        answers = await asyncio.gather(
            *(
                replica.call("POST", "/bunkers", json={"image": "debian-12", "memory_mb": 256})
                for replica in (stack, other) * 4
            )
        )
        codes = Counter(response.status_code for response in answers)
        assert codes == {201: 1, 503: 7}, [response.text for response in answers]
        [shown] = await other.data_of("GET", "/workers", "super_admin")
        assert (shown["bunkers"], shown["reserved"]["memory_mb"]) == (1, 256)

    async def test_the_last_of_a_quota_is_given_away_once(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        books = Books(stack)
        bucket = await books.cap(max_concurrent_bunkers=1)
        for _ in range(5):
            answers = await asyncio.gather(
                *(replica.call("POST", "/bunkers", json=SMALL) for replica in (stack, other) * 4)
            )
            codes = Counter(response.status_code for response in answers)
            assert codes == {201: 1, 429: 7}, [response.text for response in answers]
            assert await books.counted(bucket) == 1
            [made] = [a.json()["data"]["id"] for a in answers if a.status_code == 201]
            await other.data_of("DELETE", f"/bunkers/{made}")
            await books.agree()

    async def test_a_cap_holds_at_both_when_redis_is_wiped(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        """Both find that the counters are gone, at once, while bunkers come and go."""
        worker.capacity = Capacity(
            cpu_millicores=1_000_000, memory_mb=1_000_000, disk_mb=10_000_000
        )
        await worker.beat(stack.client)
        await worker.beat(other.client)
        books = Books(stack)
        bucket = await books.cap(max_concurrent_bunkers=5)
        for _ in range(4):
            replicas = [stack, other] * 10
            creates = [
                asyncio.create_task(each.call("POST", "/bunkers", json=SMALL)) for each in replicas
            ]
            await asyncio.sleep(0)  # all are on their way
            await books.wipe()
            answers = await asyncio.gather(*creates)
            codes = Counter(response.status_code for response in answers)
            assert codes == {201: 5, 429: 15}, [response.text for response in answers]
            made = [a.json()["data"]["id"] for a in answers if a.status_code == 201]
            ends = [
                asyncio.create_task(each.data_of("DELETE", f"/bunkers/{bunker_id}"))
                for each, bunker_id in zip(replicas, made, strict=False)
            ]
            await books.wipe()
            await asyncio.gather(*ends)
        assert (await stack.call("POST", "/bunkers", json=SMALL)).status_code == 201
        assert await books.counted(bucket) == 1
        await books.agree()

    async def test_one_key_at_both_is_one_execution(
        self, stack: Stack, other: Stack, worker: SimulatedWorker, bunker: str
    ) -> None:
        for number in range(3):
            command = {"command": f"echo {number}"}
            answers = await asyncio.gather(
                *(
                    replica.call(
                        "POST",
                        f"/bunkers/{bunker}/exec",
                        json=command,
                        headers={"Idempotency-Key": f"key-{number}"},
                    )
                    for replica in (stack, other)
                )
            )
            for response in answers:
                if response.status_code != 200:
                    assert error_of(response)[0] == 409, response.text
            assert 200 in {response.status_code for response in answers}
            started = [run.start.shell for run in worker.machines[bunker].execs.values()]
            assert started.count(f"echo {number}") == 1

    async def test_a_revoked_key_and_a_new_role_count_at_both(
        self, stack: Stack, other: Stack
    ) -> None:
        """At once: no replica waits until it would have looked again, a minute later."""
        ann = await people.user(stack, "ann", "tenant_viewer")
        key = await people.key(stack, "spare", ann)
        other.keys = stack.keys
        for who in ("ann", "spare"):
            assert (await other.call("GET", "/v1/me", who)).status_code == 200
        create = {"image": "debian-12"}
        refused = await other.call("POST", "/bunkers", "ann", json=create)
        assert refused.status_code == 403
        await stack.data_of("DELETE", f"/v1/api-keys/{key}", "super_admin")
        await until(lambda: _answers(other, 401, "GET", "/v1/me", "spare"), 20)
        role = {"role": "tenant_admin"}
        await stack.data_of("PATCH", f"/v1/users/{ann}", "super_admin", json=role)
        await until(lambda: _answers(other, 201, "POST", "/bunkers", "ann", json=create), 20)


async def _answers(stack: Stack, status: int, *request: Any, **more: Any) -> bool:
    return (await stack.call(*request, **more)).status_code == status


class TestWithoutRedis:
    """Hints do not arrive: what has to be forgotten is forgotten in time by itself."""

    @pytest.fixture
    def own_redis(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
        yield from running(RedisServer(tmp_path_factory.mktemp("own-redis")))

    @pytest.fixture
    def redis_settings(self, own_redis: RedisServer) -> RedisSettings:
        return RedisSettings(url=own_redis.url)

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(reconcile_interval_s=0.5, auth_cache_ttl_s=2)

    async def test_a_revoked_key_is_refused_when_it_is_looked_at_again(
        self, stack: Stack, other: Stack, own_redis: RedisServer
    ) -> None:
        spare = await people.key(stack, "spare", await people.id_of(stack, "user"))
        other.keys = stack.keys
        own_redis.kill()
        assert (await other.call("GET", "/v1/me", "spare")).status_code == 200
        await stack.data_of("DELETE", f"/v1/api-keys/{spare}", "super_admin")
        async with loop_time() as clock:
            await until(lambda: _answers(other, 401, "GET", "/v1/me", "spare"))
            assert clock.seconds < stack.knobs.auth_cache_ttl_s + 3

    async def test_bunkers_come_and_go_as_ever(
        self, stack: Stack, other: Stack, worker: SimulatedWorker, own_redis: RedisServer
    ) -> None:
        own_redis.kill()
        worker.boot = "building"
        creating = asyncio.create_task(stack.create())
        await until(lambda: len(worker.machines) == 1)
        [bunker] = worker.machines
        worker.become(bunker, MachineState.RUNNING)
        await worker.beat(other.client)
        assert (await creating)["status"] == "running"
        assert (await other.data_of("DELETE", f"/bunkers/{bunker}"))["status"] == "terminated"
        assert await stack.status(bunker) == "terminated"


class TestIdleness:
    """A use that only one replica knows of keeps the other from ending the bunker."""

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(reconcile_interval_s=0.1)

    async def test_a_command_at_one_is_no_idleness_to_the_other(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        go_on = asyncio.Event()
        worker.commands["long"] = pausing(go_on, b"")
        used, idle = [(await stack.create(idle_timeout_s=1))["id"] for _ in range(2)]
        path = f"/bunkers/{used}/exec"
        command = asyncio.create_task(stack.data_of("POST", path, json={"command": "long"}))
        record = await other.until_status(idle, "terminated")
        assert record["status_reason"] == "it was idle for 1 s"
        for _ in range(10):  # the timers go round
            await settle(other, used)
            await asyncio.sleep(0.1)
        assert await other.status(used) == "running"
        go_on.set()
        assert (await command)["exit_code"] == 0

    async def test_a_use_at_the_last_moment_is_written_before_the_command_starts(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create(idle_timeout_s=60))["id"]
        await asyncio.sleep(1.5)  # the times of the start are written
        await _last_used(stack, bunker, 60 + 1)
        seen: list[timedelta] = []

        async def idle_for(_: web.Request | None = None) -> None:
            async with other.grid.database.read() as db:
                query = whole(select(bunkers.c.last_activity_at).where(bunkers.c.id == bunker))
                seen.append(other.grid.clock.now() - await db.value(query))

        worker.faults["POST /v1/machines/"] = idle_for
        await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
        assert seen[0] < timedelta(seconds=10)
        await _last_used(stack, bunker, 60 + 1)
        await stack.data_of("POST", f"/bunkers/{bunker}/keepalive")
        await idle_for()
        assert seen[1] < timedelta(seconds=10)

    async def test_a_command_that_comes_too_late_does_not_start(
        self, stack: Stack, other: Stack, worker: SimulatedWorker
    ) -> None:
        bunker = (await stack.create(idle_timeout_s=60))["id"]
        await asyncio.sleep(1.5)
        worker.faults["DELETE /v1/machines/"] = unavailable
        await _last_used(stack, bunker, 60 + 10)

        async def ending() -> bool:
            record = await other.data_of("GET", f"/bunkers/{bunker}")
            return "being terminated" in (record["status_reason"] or "")

        await until(ending)
        for verb in ("exec", "keepalive"):
            body = {"command": "x"} if verb == "exec" else None
            late = await stack.call("POST", f"/bunkers/{bunker}/{verb}", json=body)
            assert error_of(late) == (409, "BUNKER_NOT_RUNNING")


async def _last_used(stack: Stack, bunker_id: str, seconds_ago: float) -> None:
    at = stack.grid.clock.now() - timedelta(seconds=seconds_ago)
    async with stack.grid.database.write() as db:
        change = whole(update(bunkers).where(bunkers.c.id == bunker_id))
        await db.execute(change.values(last_activity_at=at))
