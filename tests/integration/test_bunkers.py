"""The resource: create, read, list, end, freeze, watch."""

import asyncio
import json

import pytest

from scaibunker.wire.worker.machines import MachineState
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of, events_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until


async def test_a_bunker_is_pending_at_first_and_then_runs(stack: Stack) -> None:
    response = await stack.call("POST", "/bunkers", json={"image": "debian-12"})
    assert response.status_code == 201
    record = response.json()["data"]
    assert record["status"] == "pending"
    assert record["image"] == "debian-12"
    assert (record["cpu_millicores"], record["memory_mb"], record["disk_mb"]) == (1000, 256, 1024)
    assert (record["max_lifetime_s"], record["idle_timeout_s"]) == (3600, 300)
    assert record["created_at"].endswith("Z")
    running = await stack.until_status(record["id"], "running")
    assert running["started_at"] is not None
    assert running["worker_id"] == "wrk_sim"


async def test_wait_holds_the_answer_until_it_runs(stack: Stack, worker: SimulatedWorker) -> None:
    worker.boot = "building"

    async def boot_soon() -> None:
        await until(lambda: bool(worker.machines))
        [bunker_id] = worker.machines
        worker.become(bunker_id, MachineState.RUNNING)
        await worker.beat(stack.client)

    booting = asyncio.create_task(boot_soon())
    record = await stack.create()
    await booting
    assert record["status"] == "running"


async def test_wait_gives_up_at_its_time_limit(stack: Stack, worker: SimulatedWorker) -> None:
    worker.boot = "building"
    record = await stack.data_of(
        "POST",
        "/bunkers",
        json={"image": "debian-12"},
        params={"wait": "running", "timeout_s": "2"},
    )
    assert record["status"] == "provisioning"


async def test_wait_answers_a_failure_with_its_reason(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.boot = "failed"
    record = await stack.create()
    assert record["status"] == "failed"
    assert "the kernel panicked" in record["status_reason"]
    assert "Kernel panic - not syncing" in record["status_reason"]
    # The failure is told first, and the worker cleared after it.
    await until(lambda: worker.removed == [record["id"]])


async def test_what_the_worker_is_ordered(stack: Stack, worker: SimulatedWorker) -> None:
    record = await stack.create(env_vars={"A": "1"}, cpu_millicores=500, disk_mb=128)
    spec = worker.machines[record["id"]].spec
    assert spec.env == {"A": "1"}
    assert (spec.cpu_millicores, spec.memory_mb, spec.disk_mb) == (500, 256, 128)
    assert spec.tenant_id == record["tenant_id"]
    assert spec.hostname == record["id"].replace("_", "-")


async def test_delete_answers_when_the_machine_is_gone(
    stack: Stack, worker: SimulatedWorker
) -> None:
    record = await stack.create()
    gone = await stack.data_of("DELETE", f"/bunkers/{record['id']}")
    assert gone["status"] == "terminated"
    assert gone["terminated_at"] is not None
    assert gone["status_reason"] == "ended by user"
    assert worker.machines == {}


async def test_delete_of_a_terminated_bunker_changes_nothing(stack: Stack) -> None:
    record = await stack.create()
    first = await stack.data_of("DELETE", f"/bunkers/{record['id']}")
    assert await stack.data_of("DELETE", f"/bunkers/{record['id']}") == first


async def test_pause_and_resume(stack: Stack, worker: SimulatedWorker) -> None:
    path = f"/bunkers/{(await stack.create())['id']}"
    assert (await stack.data_of("POST", f"{path}/pause"))["status"] == "paused"
    assert next(iter(worker.machines.values())).state is MachineState.PAUSED
    assert error_of(await stack.call("POST", f"{path}/exec", json={"command": "x"})) == (
        409,
        "BUNKER_NOT_RUNNING",
    )
    again = await stack.call("POST", f"{path}/pause")
    assert error_of(again) == (409, "BUNKER_INVALID_TRANSITION")
    [entry] = again.json()["error"]["details"]
    assert (entry["from"], entry["to"]) == ("paused", "paused")
    assert (await stack.data_of("POST", f"{path}/resume"))["status"] == "running"
    assert error_of(await stack.call("POST", f"{path}/resume")) == (
        409,
        "BUNKER_INVALID_TRANSITION",
    )


async def test_nothing_follows_a_final_state(stack: Stack) -> None:
    path = f"/bunkers/{(await stack.create())['id']}"
    await stack.data_of("DELETE", path)
    for verb in ("pause", "resume"):
        assert error_of(await stack.call("POST", f"{path}/{verb}")) == (
            409,
            "BUNKER_INVALID_TRANSITION",
        )
    assert error_of(await stack.call("POST", f"{path}/keepalive")) == (409, "BUNKER_NOT_RUNNING")
    command = await stack.call("POST", f"{path}/exec", json={"command": "x"})
    assert error_of(command) == (409, "BUNKER_NOT_RUNNING")


async def test_keepalive_moves_the_last_activity(stack: Stack) -> None:
    record = await stack.create()
    kept = await stack.data_of("POST", f"/bunkers/{record['id']}/keepalive")
    assert kept["last_activity_at"] > record["last_activity_at"]


async def test_events_tell_every_change_and_end(stack: Stack) -> None:
    record = await stack.create()
    path = f"/bunkers/{record['id']}"
    seen: list[tuple[str, str | None]] = []

    async def watch() -> None:
        url = f"/v1/modules/scaibunker{path}/events"
        async with stack.client.stream("GET", url, headers=stack.headers()) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for name, data in events_of(response):
                if data == "[DONE]":
                    return
                assert name == "status"
                event = json.loads(data)
                seen.append((event["status"], event["previous"]))

    watching = asyncio.create_task(watch())
    await stack.data_of("POST", f"{path}/pause")
    await stack.data_of("DELETE", path)
    await asyncio.wait_for(watching, 60)
    assert seen == [
        ("pending", None),
        ("provisioning", "pending"),
        ("running", "provisioning"),
        ("paused", "running"),
        ("terminated", "paused"),
    ]


async def test_events_go_on_after_the_last_one_seen(stack: Stack) -> None:
    record = await stack.create()
    await stack.data_of("DELETE", f"/bunkers/{record['id']}")
    response = await stack.call("GET", f"/bunkers/{record['id']}/events")
    ids = [line[4:] for line in response.text.splitlines() if line.startswith("id: ")]
    assert len(ids) == 4
    rest = await stack.call(
        "GET", f"/bunkers/{record['id']}/events", headers={"Last-Event-ID": ids[2]}
    )
    assert [line[4:] for line in rest.text.splitlines() if line.startswith("id: ")] == ids[3:]
    assert rest.text.endswith("data: [DONE]\n\n")


async def test_list_is_newest_first_paged_and_filtered(stack: Stack) -> None:
    made = [
        (await stack.create(label_set={"n": str(n), "team": "a" if n % 2 else "b"}))["id"]
        for n in range(5)
    ]
    assert [b["id"] for b in await stack.data_of("GET", "/bunkers")] == made[::-1]
    first = (await stack.call("GET", "/bunkers", params={"limit": 2})).json()
    assert first["has_more"] is True
    await stack.create(wait=False)  # a newer one must not disturb the pages that follow
    seen = [b["id"] for b in first["data"]]
    cursor = first["next_cursor"]
    while cursor:
        page = (await stack.call("GET", "/bunkers", params={"limit": 2, "cursor": cursor})).json()
        seen += [b["id"] for b in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
    assert seen == made[::-1]
    labelled = await stack.data_of("GET", "/bunkers", params={"label": "team=a"})
    assert {b["id"] for b in labelled} == {made[1], made[3]}
    both = await stack.data_of("GET", "/bunkers", params={"label": ["team=a", "n=3"]})
    assert [b["id"] for b in both] == [made[3]]
    await stack.data_of("DELETE", f"/bunkers/{made[0]}")
    gone = await stack.data_of("GET", "/bunkers", params={"status": "terminated"})
    assert [b["id"] for b in gone] == [made[0]]
    assert await stack.data_of("GET", "/bunkers", params={"lifecycle": "session"}) == []


@ONE_DATABASE
@pytest.mark.parametrize(
    "query", [{"cursor": "@@@"}, {"limit": "0"}, {"limit": "201"}, {"status": "x"}]
)
async def test_a_bad_query_names_its_field(stack: Stack, query: dict[str, str]) -> None:
    response = await stack.call("GET", "/bunkers", params=query)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == list(query)
