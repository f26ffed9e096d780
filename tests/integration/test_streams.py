"""What all event streams and answers have in common."""

import asyncio

import httpx
import pytest

from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import BASE, Stack
from tests.waiting import loop_time, until


async def test_a_silent_stream_is_kept_alive_by_comments(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaigrid.http.sse.KEEPALIVE_S", 0.1)
    made = await stack.create()
    url = f"{BASE}/bunkers/{made['id']}/events"
    comments = 0
    async with stack.client.stream("GET", url, headers=stack.headers()) as response:
        async for line in response.aiter_lines():
            comments += line == ": keep-alive"
            if comments == 3:
                break


async def test_open_streams_do_not_hold_up_the_stop(stack: Stack) -> None:
    made = await stack.create()
    url = f"{BASE}/bunkers/{made['id']}/events"

    opened: list[httpx.Response] = []

    async def watch() -> str:
        async with stack.client.stream("GET", url, headers=stack.headers()) as response:
            opened.append(response)
            return (await response.aread()).decode()

    watching = [asyncio.create_task(watch()) for _ in range(5)]
    await until(lambda: len(opened) == 5)
    async with loop_time() as clock:
        await stack.stop()
        assert clock.seconds < 3
    for text in await asyncio.gather(*watching):
        assert "SERVER_STOPPING" in text
        assert text.endswith("data: [DONE]\n\n")


async def test_every_answer_has_an_id_of_its_own(stack: Stack, worker: SimulatedWorker) -> None:
    ids = set()
    for path in ("/v1/me", "/nowhere", "/bunkers", "/health"):
        response = await stack.call("GET", path, headers={"X-Request-Id": "mine"})
        assert response.headers["x-request-id"].startswith("req_")
        assert response.json()["meta"]["request_id"] == response.headers["x-request-id"]
        ids.add(response.headers["x-request-id"])
    assert len(ids) == 4


async def test_a_fault_of_ours_tells_nothing_of_the_inside(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr("scaibunker.controller.bunkers.reading.repository.get", broken)
    response = await stack.call("GET", "/bunkers/bnk_x")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "INTERNAL_ERROR"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
