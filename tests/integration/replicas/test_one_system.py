"""What is done at one replica is seen at the other: what a caller sees is one."""

import asyncio
from collections import Counter

import pytest

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.wire.worker.machines import MachineState
from scaigrid.operation import system_operation
from tests.integration import people
from tests.integration.quotas.books import SMALL, Books
from tests.integration.replicas.watching import answers, follow
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(reconcile_interval_s=0.5, request_timeout_s=5, auth_cache_ttl_s=60)


async def test_a_life_that_is_led_at_both_is_one(
    stack: Stack, other: Stack, worker: SimulatedWorker
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
    stack: Stack, other: Stack, worker: SimulatedWorker
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
    stack: Stack, other: Stack, bunker: str
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
    stack: Stack, other: Stack, worker: SimulatedWorker, bunker: str
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
    stack: Stack, other: Stack, worker: SimulatedWorker
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
    stack: Stack, other: Stack, worker: SimulatedWorker
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
    stack: Stack, other: Stack, worker: SimulatedWorker
) -> None:
    """Both find that the counters are gone, at once, while bunkers come and go."""
    worker.capacity = Capacity(cpu_millicores=1_000_000, memory_mb=1_000_000, disk_mb=10_000_000)
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
    stack: Stack, other: Stack, worker: SimulatedWorker, bunker: str
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


async def test_a_revoked_key_and_a_new_role_count_at_both(stack: Stack, other: Stack) -> None:
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
    await until(lambda: answers(other, 401, "GET", "/v1/me", "spare"), 20)
    role = {"role": "tenant_admin"}
    await stack.data_of("PATCH", f"/v1/users/{ann}", "super_admin", json=role)
    await until(lambda: answers(other, 201, "POST", "/bunkers", "ann", json=create), 20)
