"""Bad input over every operation: a clear refusal, by its field, and nothing is written or broken."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from scaigrid.http.access import Delegated, Public, Service
from scaigrid.http.policy import Kind, relations
from scaigrid.http.resources import Relation
from scaigrid.http.routes import Declaration
from scaigrid.permissions.domain import Role
from tests.integration.simulated_worker import TOKEN
from tests.integration.stack import BASE, Knobs, Stack
from tests.integration.variations import UNKNOWN, Bad, Variations
from tests.integration.world import UNLIMITED, World, declarations_of, everything, settle
from tests.waiting import until

CALLER = Kind("root", Role.SUPER_ADMIN)


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(rate_limits=UNLIMITED, heartbeat_interval_s=300)


class Sweep:
    """Sends bad requests and collects what is not as it should be."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[str] = []
        self.count = 0
        self.document = world.stack.grid.app.openapi()

    async def variations(self, each: Declaration) -> Variations:
        path, options = await self.world.request(each, CALLER, relation_of(each))
        return Variations(self.document, self.operation(each), path, options)

    def operation(self, each: Declaration) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document["paths"][each.template][each.method.lower()]
        return found

    async def send(self, each: Declaration, bad: Bad) -> tuple[int, dict[str, Any]]:
        """Status and error; the status is one of the operation's, and the code one of its status."""
        self.count += 1
        options = {**bad.options}
        who: str | None = self.world.callers[CALLER.name]
        if isinstance(each.access, Service | Delegated):
            who = None
            secret = {"Authorization": f"Bearer {TOKEN}"}
            options["headers"] = {**options.get("headers", {}), **secret}
        async with self.world.stack.opened(each.method, bad.path, who, **options) as response:
            status = response.status_code
            if status < 400:
                return status, {}
            await response.aread()
            if each.method == "HEAD":  # its answers have no body to say more
                return status, {}
            error: dict[str, Any] = response.json()["error"]
        known = [*self.operation(each)["responses"].get(str(status), {}).get("x-codes", [])]
        if "%2f" in bad.path:  # a slash, so that another route may be meant
            known += ["NOT_FOUND", "METHOD_NOT_ALLOWED"]
        if status == 500 or error["code"] not in known:
            self.fault(each, bad, f"is {status} {error}, which is not one of its answers")
        return status, error

    async def refused(self, each: Declaration, bad: Bad) -> None:
        status, error = await self.send(each, bad)
        named = [str(entry.get("field")) for entry in error.get("details", ())]
        if (status, error.get("code")) != (422, "VALIDATION_ERROR"):
            self.fault(each, bad, f"is not refused: {status} {error}")
        elif bad.field and not any(name.startswith(bad.field) for name in named):
            self.fault(each, bad, f"is not refused by its field: {error}")
        elif not named:
            self.fault(each, bad, "is refused without a field")

    def fault(self, each: Declaration, bad: Bad, what: str) -> None:
        self.faults.append(f"{each.method} {each.path} ({bad.what}): {what[:600]}")


def relation_of(each: Declaration) -> Relation | None:
    """Of things that may be changed without an end of the caller."""
    found = relations(each)
    return Relation.SAME_TENANT if Relation.SAME_TENANT in found else found[0]


async def test_bad_input_is_refused_by_its_field_and_writes_nothing(
    stack: Stack, world: World
) -> None:
    await world.build([CALLER])
    sweep = Sweep(world)
    operations = declarations_of(stack)
    made = [(each, await sweep.variations(each)) for each in operations]
    await settle(stack)
    before = await everything(stack)
    for each, variations in made:
        for bad in variations.refused():
            if bad.field == UNKNOWN and isinstance(each.access, Service):
                continue  # a newer worker may say more than this controller knows
            await sweep.refused(each, bad)
    assert not sweep.faults, "\n".join(sweep.faults)
    assert await everything(stack) == before
    assert sweep.count > 500


async def test_odd_input_breaks_nothing(stack: Stack, world: World) -> None:
    await world.build([CALLER])
    sweep = Sweep(world)
    for each in declarations_of(stack):
        if each.endpoint.__name__ in ("disable_module", "end_user", "change_tenant"):
            continue  # what they do is not undone by the next request
        variations = await sweep.variations(each)
        for bad in variations.odd():
            status, _ = await sweep.send(each, bad)
            if status < 400 and each.method != "GET":
                await world.after(each)
                variations = await sweep.variations(each)
        for bad in variations.elsewhere(each.template.removeprefix(BASE)):
            await sweep.send(each, bad)
    assert not sweep.faults, "\n".join(sweep.faults)
    assert sweep.count > 1000
    assert await stack.status(str((await stack.create())["id"])) == "running"


@pytest.fixture
async def bad_credentials(bare: Stack) -> dict[str, str]:
    """Headers by what is wrong with them."""
    revoked = await bare.data_of("POST", "/v1/api-keys", json={"name": "revoked"})
    await bare.data_of("DELETE", f"/v1/api-keys/{revoked['id']}")
    soon = bare.grid.clock.now() + timedelta(seconds=0.2)
    body = {"name": "expired", "expires_at": soon.isoformat()}
    expired = await bare.data_of("POST", "/v1/api-keys", json=body)
    key = bare.keys["user"]
    header = {"Authorization": f"Bearer {expired['key']}"}
    await until(lambda: _is_refused(bare, header))
    return {
        "revoked": f"Bearer {revoked['key']}",
        "expired": f"Bearer {expired['key']}",
        "malformed": "Bearer sgk_x",
        "cut": f"Bearer {key[:-1]}",
        "changed": f"Bearer {key[:-1]}{'a' if key[-1] != 'a' else 'b'}",
        "of another scheme": f"Basic {key}",
        "twice": f"Bearer {key} {key}",
        "a token": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
        "a worker's": f"Bearer {TOKEN}",
    }


async def _is_refused(stack: Stack, header: dict[str, str]) -> bool:
    return (await stack.call("GET", "/v1/me", None, headers=header)).status_code == 401


async def test_a_bad_credential_is_refused_before_anything_else(
    bare: Stack, bad_credentials: dict[str, str]
) -> None:
    faults = []
    for each in declarations_of(bare):
        for what, header in bad_credentials.items():
            if isinstance(each.access, Public) or (
                isinstance(each.access, Service | Delegated) and what == "a worker's"
            ):
                continue
            path = each.template.removeprefix(BASE).replace("{", "").replace("}", "")
            headers = {"Authorization": header}
            response = await bare.call(each.method, path, None, content=b"{", headers=headers)
            if each.method == "HEAD":
                if response.status_code != 401:
                    faults.append(f"HEAD {each.path}, {what}: {response.status_code}")
                continue
            error = response.json()["error"]
            if (response.status_code, error["code"]) not in (
                (401, "AUTH_TOKEN_INVALID"),
                (401, "SERVICE_TOKEN_INVALID"),
                (401, "AUTH_TOKEN_MISSING"),
            ):
                faults.append(f"{each.method} {each.path}, {what}: {response.text}")
            elif error.get("details"):
                faults.append(f"{each.method} {each.path}, {what} tells more: {error}")
    assert not faults, "\n".join(faults)
