"""Schemathesis over the whole OpenAPI document: what is drawn from the schemas, right and wrong, is
answered as the document says. What must be refused is `test_bad_requests`'s: to Schemathesis a header
that is sent all the same and an unknown query are wrong data too."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation.modes import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scaigrid.http.access import Delegated, Service
from scaigrid.http.policy import Kind, relations
from scaigrid.http.resources import Place, Relation
from scaigrid.http.routes import Declaration
from scaigrid.permissions.domain import Role
from tests.integration.simulated_worker import TOKEN
from tests.integration.stack import Knobs, Stack
from tests.integration.world import UNLIMITED, World, declarations_of
from tests.waiting import PATIENT_S

CALLER = Kind("root", Role.SUPER_ADMIN)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
WITHOUT_END = {"watch_bunker", "follow_command"}
"""Streams: on a thing that exists they would not end."""
SHUT_OUT = {"change_tenant", "change_user", "disable_module", "end_user"}
"""On a thing that exists they may shut out whoever asks next."""

MANY, FEW = 12, 4
"""Requests of each operation and kind. The document is the same on both databases; MariaDB is the one that takes less."""


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(rate_limits=UNLIMITED, heartbeat_interval_s=300)


class Drawn:
    """Requests that are drawn from the document, one operation after the other."""

    def __init__(self, world: World) -> None:
        stack = world.stack
        self.world = world
        self.faults: list[str] = []
        self.count = 0
        self._examples = FEW if stack.database_settings.is_sqlite else MANY
        self._url = str(stack.client.base_url)
        self._headers = stack.headers(world.callers[CALLER.name])
        self._schema = schemathesis.openapi.from_dict(stack.grid.app.openapi())

    async def all(self, each: Declaration) -> None:
        """Right and wrong ones; those that are right name things that exist, as far as they can."""
        operation = self._schema[each.template][each.method]
        named = await self._named(each)
        await asyncio.to_thread(self._draw, each, operation, GenerationMode.POSITIVE, named)
        if named is not None:
            await self.world.after(each)
        await asyncio.to_thread(self._draw, each, operation, GenerationMode.NEGATIVE, None)

    async def _named(self, each: Declaration) -> dict[str, str] | None:
        if each.endpoint.__name__ in WITHOUT_END | SHUT_OUT:
            return None
        found = relations(each)
        relation = Relation.FOREIGN if Relation.FOREIGN in found else found[0]
        in_path = [thing for thing in each.resources if thing.place is Place.PATH]
        return {t.parameter: await self.world.thing(t, CALLER, relation) for t in in_path}

    def _draw(
        self, each: Declaration, operation: APIOperation, mode: Any, named: dict[str, str] | None
    ) -> None:
        headers = self._headers
        if isinstance(each.access, Service | Delegated):
            headers = {"Authorization": f"Bearer {TOKEN}"}

        @settings(
            max_examples=self._examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode, path_parameters=named))
        def draw(case: schemathesis.Case) -> None:
            self.count += 1
            case.call_and_validate(
                base_url=self._url, headers=headers, checks=CHECKS, timeout=PATIENT_S
            )

        try:
            draw()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, each.path  # nothing about it can be wrong
        except (Failure, FailureGroup) as failure:
            shown = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
            told = "; ".join(str(one)[:600] for one in shown)
            self.faults.append(f"{each.method} {each.path} ({mode.value}): {told}")


async def test_answers_are_as_the_document_says(stack: Stack, world: World) -> None:
    await world.build([CALLER])
    drawn = Drawn(world)
    for each in declarations_of(stack):
        await drawn.all(each)
    assert not drawn.faults, "\n".join(drawn.faults)
    assert drawn.count > 500
