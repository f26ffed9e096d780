"""Every cell of the policy table, against the running application: docs/reference/policy.md."""

from typing import Any

import pytest

from scaigrid.errors import PermissionDenied, ServiceTokenInvalid, TokenInvalid, TokenMissing
from scaigrid.http.errors import status_of
from scaigrid.http.policy import Kind, Refusal, Row, kinds, table
from scaigrid.http.resources import Relation
from scaigrid.http.routes import Declaration
from tests.integration.simulated_worker import TOKEN
from tests.integration.stack import Knobs, Stack
from tests.integration.world import UNLIMITED, World, declarations_of, everything, settle


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(rate_limits=UNLIMITED, heartbeat_interval_s=300)


class Sweep:
    """One pass over cells; collects what is not as the table says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[str] = []
        self.count = 0
        self.capability = ""

    async def refused(self, row: Row, kind: Kind, refusal: Refusal) -> None:
        """Refused with exactly this; as if there were no such thing, if that is what it is."""
        each = row.declaration
        status, body = await self._send(each, kind, row.relation)
        code = None if each.method == "HEAD" else refusal.code
        expected = (status_of(refusal), code)
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
        refusals = [TokenMissing, TokenInvalid, ServiceTokenInvalid, PermissionDenied]
        refusals += [thing.missing for thing in each.resources]
        if status >= 500 or status == 422 or body.get("code") in {r.code for r in refusals}:
            self._fault(row, kind, f"is not let in: {status} {body}")
        if status < 400:
            await self.world.after(each)

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
        if kind.service or kind.capability:
            secret = TOKEN if kind.service else self.capability
            options["headers"] = {"Authorization": f"Bearer {secret}"}
        who = self.world.callers.get(kind.name)
        async with stack.opened(each.method, path, who, **options) as response:
            if response.status_code < 400:
                return response.status_code, {}  # it may be a stream without an end
            await response.aread()
            if each.method == "HEAD":  # its answers have no body to say more
                return response.status_code, {}
            return response.status_code, response.json()["error"]

    def _fault(self, row: Row, kind: Kind, what: str) -> None:
        each = row.declaration
        self.faults.append(f"{each.method} {each.path} [{row.relation}] {kind.name}: {what}")


async def test_every_cell(stack: Stack, world: World) -> None:
    declarations = declarations_of(stack)
    callers = kinds(declarations, stack.grid.permissions)
    await world.build(callers)
    rows = list(table(declarations, callers))
    for row in rows:
        for kind in callers:
            await world.request(row.declaration, kind, row.relation)  # makes what it names

    await settle(stack)
    before = await everything(stack)
    sweep = Sweep(world)
    sweep.capability = await world.capability()
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
