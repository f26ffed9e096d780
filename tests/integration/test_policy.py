"""Every cell of the policy table, against the running application: docs/reference/policy.md."""

from typing import Any

import pytest
from sqlalchemy import select

from scaibunker.wire.worker.heartbeat import Capacity
from scaigrid.db.types import metadata
from scaigrid.errors import PermissionDenied, TokenInvalid, TokenMissing
from scaigrid.http.errors import status_of
from scaigrid.http.policy import Kind, Refusal, Row, kinds, table
from scaigrid.http.resources import Relation
from scaigrid.http.routes import Declaration, GuardedRoute
from tests.integration.inside import whole
from tests.integration.policy_world import World
from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import Knobs, Stack

LOGS = {"audit_log", "idempotency_keys", "task_runs", "api_keys"}
"""What may change when a request is refused."""
WRITTEN_LATE = "last_activity_at"
GENEROUS = 1_000_000


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(
        rate_limits=dict.fromkeys(
            ("per_key", "per_user", "per_tenant", "per_partner", "failures_per_address"), GENEROUS
        )
    )


@pytest.fixture
async def world(stack: Stack, worker: SimulatedWorker) -> World:
    many = Capacity(cpu_millicores=1_000_000, memory_mb=1_000_000, disk_mb=10_000_000)
    worker.capacity = many
    await worker.beat(stack.client)
    return World(stack, worker)


class Sweep:
    """One pass over cells; collects what is not as the table says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[str] = []
        self.count = 0

    async def refused(self, row: Row, kind: Kind, refusal: Refusal) -> None:
        """Refused with exactly this; as if there were no such thing, if that is what it is."""
        each = row.declaration
        status, body = await self._send(each, kind, row.relation)
        expected = (status_of(refusal), refusal.code)
        if (status, body.get("code")) != expected:
            self._fault(row, kind, f"is {status} {body}, not {expected}")
        elif refusal in [thing.missing for thing in each.resources]:
            other = await self._send(each, kind, row.relation, refusal)
            if other != (status, body):
                self._fault(row, kind, f"tells what is there: {body}, and {other[1]} of nothing")

    async def let_in(self, row: Row, kind: Kind) -> None:
        """Let in: what comes of it then is for the operation's own tests."""
        each = row.declaration
        status, body = await self._send(each, kind, row.relation)
        refusals = [TokenMissing, TokenInvalid, PermissionDenied]
        refusals += [thing.missing for thing in each.resources]
        if status >= 500 or status == 422 or body.get("code") in {r.code for r in refusals}:
            self._fault(row, kind, f"is not let in: {status} {body}")
        if status < 400:
            await self.world.after(each, row.relation)

    async def _send(
        self,
        each: Declaration,
        kind: Kind,
        relation: Relation | None,
        missing: Refusal | None = None,
    ) -> tuple[int, dict[str, Any]]:
        self.count += 1
        stack = self.world.stack
        path, options = await self.world.request(each, kind, relation, missing)
        if kind.service:
            options["headers"] = {"Authorization": f"Bearer {TOKEN}"}
        who = self.world.callers.get(kind.name)
        async with stack.opened(each.method, path, who, **options) as response:
            if response.status_code < 400:
                return response.status_code, {}  # it may be a stream without an end
            await response.aread()
            return response.status_code, response.json()["error"]

    def _fault(self, row: Row, kind: Kind, what: str) -> None:
        each = row.declaration
        self.faults.append(f"{each.method} {each.path} [{row.relation}] {kind.name}: {what}")


async def everything(stack: Stack) -> dict[str, list[Any]]:
    """All rows that a refusal must leave as they are."""
    found = {}
    async with stack.grid.database.read() as db:
        for each in metadata.sorted_tables:
            if each.name not in LOGS:
                kept = [column for column in each.columns if column.name != WRITTEN_LATE]
                rows = await db.rows(whole(select(*kept).order_by(*each.primary_key.columns)))
                found[each.name] = [tuple(row.values()) for row in rows]
    return found


async def test_every_cell(stack: Stack, world: World) -> None:
    routes = stack.grid.app.router.routes
    declarations = [route.declaration for route in routes if isinstance(route, GuardedRoute)]
    callers = kinds(declarations, stack.grid.permissions)
    await world.build(callers)
    rows = list(table(declarations, callers))
    for row in rows:
        for kind in callers:
            await world.request(row.declaration, kind, row.relation)  # makes what it names

    for bunker in await stack.data_of("GET", "/bunkers", "super_admin"):
        # Has the ends of commands written that still wait for company.
        await stack.data_of("GET", f"/bunkers/{bunker['id']}/execs", "super_admin")
    before = await everything(stack)
    sweep = Sweep(world)
    for row in rows:
        for kind, refusal in zip(callers, row.outcomes, strict=True):
            if refusal is not None:
                await sweep.refused(row, kind, refusal)
    assert not sweep.faults, "\n".join(sweep.faults)
    assert await everything(stack) == before

    for row in rows:
        for kind, refusal in zip(callers, row.outcomes, strict=True):
            if refusal is None:
                await sweep.let_in(row, kind)
    assert not sweep.faults, "\n".join(sweep.faults)
    assert sweep.count > 1000
