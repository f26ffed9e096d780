"""What tests of two replicas have them do, one by one, and see of them."""

import json
from typing import Any

from aiohttp import web

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import Desired
from scaigrid.operation import system_operation
from tests.integration.refusals import refuse
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import BASE, Stack, events_of
from tests.waiting import until


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


async def answers(stack: Stack, status: int, *request: Any, **more: Any) -> bool:
    return (await stack.call(*request, **more)).status_code == status
