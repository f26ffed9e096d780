"""A controller and a worker of releases that do not understand each other, and then do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import structlog

from scaibunker.controller.workers import compatibility
from scaibunker.wire.worker.heartbeat import Heartbeat
from scaibunker.wire.worker.protocol import Versions
from scaibunker.worker import report
from scaibunker.worker.report import Reporter
from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import Stack, error_of
from tests.waiting import until

NEWER = Versions(2, 3)


@contextlib.asynccontextmanager
async def reporting(stack: Stack, worker: SimulatedWorker) -> AsyncIterator[None]:
    """The daemon's own reporter, which speaks for the simulated worker's machines."""
    reporter = Reporter(
        str(stack.client.base_url),
        TOKEN,
        worker.heartbeat,
        0.05,
        spoken=worker.spoken,
        mismatch_retry_s=0.05,
    )
    task = asyncio.create_task(reporter.run([]))  # type: ignore[arg-type]
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_newer_worker_is_refused_with_both_versions_and_who_is_to_be_upgraded(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.spoken = NEWER
    response = await worker.send(stack.client, worker.heartbeat())
    assert error_of(response) == (409, "PROTOCOL_MISMATCH")
    error = response.json()["error"]
    assert "version 3" in error["message"]
    assert "controller 1" in error["message"]
    assert "Upgrade the controller" in error["hint"]
    [named] = error["details"]
    assert (named["spoken"], named["oldest"], named["newest"]) == (3, 1, 1)


async def test_a_heartbeat_of_another_form_is_refused_for_its_version(stack: Stack) -> None:
    response = await stack.client.post(
        "/v1/modules/scaibunker/heartbeat",
        json={"worker_id": "wrk_sim", "protocol": 9, "version": "9", "machines": {"new": "form"}},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert error_of(response) == (409, "PROTOCOL_MISMATCH")


async def test_an_older_worker_is_told_to_be_upgraded_and_its_bunkers_run_on(
    stack: Stack, worker: SimulatedWorker
) -> None:
    made = await stack.create()
    stack.knobs.spoken = NEWER
    await stack.restart()
    response = await worker.send(stack.client, worker.heartbeat())
    assert error_of(response) == (409, "PROTOCOL_MISMATCH")
    assert "Upgrade the worker" in response.json()["error"]["hint"]
    assert await stack.status(made["id"]) == "running"
    path = f"/bunkers/{made['id']}/exec"
    refused = await stack.call("POST", path, json={"command": "hello"})
    assert error_of(refused) == (502, "WORKER_UNREACHABLE")
    assert "has not run" in refused.json()["error"]["message"]
    worker.spoken = NEWER  # it is upgraded
    await worker.beat(stack.client)
    assert (await stack.data_of("POST", path, json={"command": "hello"}))["stdout"] == "hello"


async def test_a_worker_that_is_not_understood_gets_no_bunker_and_the_operator_sees_why(
    stack: Stack, worker: SimulatedWorker
) -> None:
    worker.spoken = NEWER
    await worker.send(stack.client, worker.heartbeat())
    [shown] = await stack.data_of("GET", "/workers", "super_admin")
    assert shown["takes_bunkers"] is False
    assert "version 3 of the worker protocol" in shown["reasons"][0]

    async def nobody_is_there() -> bool:
        answer = await stack.call("POST", "/bunkers", json={"image": "debian-12"})
        return answer.status_code == 503

    await until(nobody_is_there)
    orders = len(worker.orders)
    worker.spoken = Versions(1, 1)
    await worker.beat(stack.client)
    await stack.create()
    assert len(worker.orders) > orders


async def test_an_order_that_meets_another_version_waits_and_the_bunker_does_not_fail(
    stack: Stack, worker: SimulatedWorker
) -> None:
    older, worker.spoken = worker.spoken, NEWER  # upgraded, and has not reported yet
    made = await stack.create(wait=False)
    await until(lambda: worker.refused > 2)
    assert worker.orders == []
    worker.spoken = older
    await stack.until_status(made["id"], "running")


async def test_the_worker_says_it_once_tries_slowly_and_comes_back_by_itself(
    stack: Stack, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def note(_: object, __: str, event: dict[str, object]) -> dict[str, object]:
        said.append(str(event["event"]))
        raise structlog.DropEvent

    monkeypatch.setattr(report, "log", structlog.wrap_logger(None, [note]))
    beats = 0
    plain = worker.heartbeat

    def counted() -> Heartbeat:
        nonlocal beats
        beats += 1
        return plain()

    monkeypatch.setattr(worker, "heartbeat", counted)
    worker.spoken = NEWER
    async with reporting(stack, worker):
        await until(lambda: beats > 3)
        assert said == ["protocol_mismatch"]
        stack.knobs.spoken, stack.knobs.heartbeat_interval_s = NEWER, 1
        await stack.restart()
    async with reporting(stack, worker):
        await until(lambda: beats > 6)

        async def online() -> bool:
            [shown] = await stack.data_of("GET", "/workers", "super_admin")
            return bool(shown["status"] == "online")

        await until(online)


async def test_the_controller_logs_a_worker_once_for_each_version(
    stack: Stack, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []

    def note(_: object, __: str, event: dict[str, object]) -> dict[str, object]:
        said.append(event.get("protocol"))
        raise structlog.DropEvent

    monkeypatch.setattr(compatibility, "log", structlog.wrap_logger(None, [note]))
    for newest in (3, 3, 4, 4):
        worker.spoken = Versions(2, newest)
        await worker.send(stack.client, worker.heartbeat())
    assert said == [3, 4]
