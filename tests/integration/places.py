"""Workers as operators see them, and the places that they have given away."""

from typing import Any

from scaibunker.controller.workers import places
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.domain import Held
from scaigrid.operation import system_operation
from tests.integration.stack import Stack


async def shown(stack: Stack, worker_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await stack.data_of("GET", f"/workers/{worker_id}", "super_admin")
    return found


async def in_step(stack: Stack) -> dict[str, Held]:
    """What workers are said to hold, which is what the rows of bunkers add up to."""
    op = system_operation("tests", stack.grid.clock)
    async with stack.grid.database.read() as db:
        rows = await places.held_by_rows(op, db)
        said = {each: s.held for each, s in (await workers.standings(op, db, None)).items()}
    assert said == {each: rows.get(each, Held()) for each in said}
    return said
