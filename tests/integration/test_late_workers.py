"""Workers that take long over a command, and machines that have too many."""

import asyncio

import pytest
from aiohttp import web

from tests.integration.commands import saying
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(exec_grace_s=1)


@pytest.mark.parametrize("is_well", [True, False])
async def test_a_worker_that_is_late_is_waited_for_as_long_as_it_is_well(
    stack: Stack, worker: SimulatedWorker, bunker: str, is_well: bool
) -> None:
    asked = asyncio.Event()

    async def health(_: web.Request) -> web.StreamResponse | None:
        asked.set()
        return None if is_well else refuse(500, "INTERNAL_ERROR", "it is not")

    async def late(request: web.Request) -> web.StreamResponse | None:
        await asked.wait()
        if not is_well:
            await asyncio.sleep(3600)  # the caller leaves
        await asyncio.sleep(stack.knobs.exec_grace_s)
        return None

    worker.faults = {"GET /v1/health": health, f"POST /v1/machines/{bunker}/execs": late}
    worker.commands["x"] = saying(b"done")
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    if is_well:
        assert response.json()["data"]["stdout"] == "done"
    else:
        assert error_of(response) == (502, "WORKER_UNREACHABLE")


async def test_too_many_commands_at_a_time_are_a_limit(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    async def refuse_it(_: web.Request) -> web.StreamResponse:
        return refuse(429, "RATE_LIMITED", "24 commands run already")

    worker.faults[f"POST /v1/machines/{bunker}/execs"] = refuse_it
    response = await stack.call("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    assert error_of(response) == (429, "RATE_LIMITED")
    assert response.headers["retry-after"] == "1"
    assert "24 commands" in response.json()["error"]["message"]
