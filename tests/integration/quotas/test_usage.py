"""What is used of quotas, over HTTP."""

from contextvars import ContextVar
from typing import Any

import pytest

from scaibunker.controller.quotas.usage import Usage
from scaigrid.db import Reader
from tests.integration.people import user
from tests.integration.quotas.books import SMALL, attempt
from tests.integration.quotas.profiles import PATH, assigned, made, me
from tests.integration.stack import Stack


async def test_usage_says_what_is_held_of_what(roomy: Stack) -> None:
    mine = await me(roomy)
    group = await roomy.data_of("POST", "/v1/groups", "tenant_admin", json={"name": "team"})
    member = f"/v1/groups/{group['id']}/members/{mine['user_id']}"
    await roomy.data_of("PUT", member, "tenant_admin")
    own = await made(roomy, max_concurrent_bunkers=5, max_memory_mb=1000)
    await assigned(roomy, own, target_kind="user", target_id=mine["user_id"])
    team = await made(roomy, name="team", max_concurrent_bunkers=3)
    await assigned(roomy, team, target_kind="group", target_id=group["id"])
    assert (await attempt(roomy)).status_code == 201
    rows = {row["bucket"]: row for row in await roomy.data_of("GET", f"{PATH}/usage")}
    assert set(rows) == {f"user:{mine['user_id']}", f"group:{group['id']}"}
    row = rows[f"user:{mine['user_id']}"]
    assert (row["kind"], row["id"], row["profiles"]) == ("user", mine["user_id"], [own["id"]])
    assert row["current"]["memory_mb"] == SMALL["memory_mb"]
    assert (row["cap"]["memory_mb"], row["remaining"]["memory_mb"]) == (1000, 1000 - 64)
    assert (row["cap"]["disk_mb"], row["remaining"]["disk_mb"]) == (None, None)
    shared = rows[f"group:{group['id']}"]
    assert (shared["current"]["concurrent_bunkers"], shared["remaining"]["concurrent_bunkers"]) == (
        1,
        2,
    )
    colleague = await user(roomy, "colleague")
    await assigned(roomy, await made(roomy, name="c"), target_kind="user", target_id=colleague)
    everyone = await roomy.data_of("GET", f"{PATH}/usage", "tenant_admin")
    assert {row["id"] for row in everyone} == {mine["user_id"], group["id"], colleague}
    assert await roomy.data_of("GET", f"{PATH}/usage", "stranger") == []
    first = await roomy.call("GET", f"{PATH}/usage?limit=2", "tenant_admin")
    cursor = first.json()["next_cursor"]
    rest = await roomy.data_of("GET", f"{PATH}/usage?cursor={cursor}", "tenant_admin")
    assert [*first.json()["data"], *rest] == everyone


async def test_what_a_deleted_group_still_holds_is_told_without_a_cap(roomy: Stack) -> None:
    mine = await me(roomy)
    group = await roomy.data_of("POST", "/v1/groups", "tenant_admin", json={"name": "team"})
    member = f"/v1/groups/{group['id']}/members/{mine['user_id']}"
    await roomy.data_of("PUT", member, "tenant_admin")
    team = await made(roomy, name="team", max_concurrent_bunkers=3)
    await assigned(roomy, team, target_kind="group", target_id=group["id"])
    assert (await attempt(roomy)).status_code == 201
    await roomy.data_of("DELETE", member, "tenant_admin")
    await roomy.data_of("DELETE", f"/v1/groups/{group['id']}", "tenant_admin")
    rows = {row["id"]: row for row in await roomy.data_of("GET", f"{PATH}/usage", "tenant_admin")}
    left = rows[group["id"]]
    assert (left["name"], left["profiles"]) == (None, [])
    assert left["current"]["concurrent_bunkers"] == 1
    assert left["cap"]["concurrent_bunkers"] is None


async def test_usage_is_read_in_as_many_statements_however_much_there_is(
    roomy: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And pages of any size together are the whole, in order, each bucket once."""
    counted: ContextVar[list[str] | None] = ContextVar("counted", default=None)
    listing, run = Usage.listing, Reader.rows
    spent: list[int] = []

    async def rows(self: Reader, query: Any) -> Any:
        if (statements := counted.get()) is not None:
            statements.append(str(query))
        return await run(self, query)

    async def values(self: Reader, query: Any) -> Any:
        return [next(iter(row.values())) for row in await rows(self, query)]

    async def counting(self: Usage, *given: Any) -> Any:
        token = counted.set([])
        try:
            return await listing(self, *given)
        finally:
            spent.append(len(counted.get() or []))
            counted.reset(token)

    monkeypatch.setattr(Reader, "rows", rows)
    monkeypatch.setattr(Reader, "values", values)
    monkeypatch.setattr(Usage, "listing", counting)

    default = await made(roomy, "super_admin", max_memory_mb=999)
    profile = await made(roomy, max_concurrent_bunkers=2)
    shared = await made(roomy, name="shared", max_concurrent_bunkers=3)
    expected: dict[str, tuple[str, list[str]]] = {}
    for number in range(4):
        person = await user(roomy, f"person{number}")
        body = {"name": f"team{number}"}
        group = (await roomy.data_of("POST", "/v1/groups", "tenant_admin", json=body))["id"]
        await assigned(roomy, shared, target_kind="group", target_id=group)
        await assigned(roomy, profile, target_kind="user", target_id=person)
        expected[f"group:{group}"] = (f"team{number}", [shared["id"]])
        expected[f"user:{person}"] = (f"person{number}", [profile["id"]])
    mine = await me(roomy)
    assert (await attempt(roomy)).status_code == 201
    expected[f"user:{mine['user_id']}"] = (mine["name"], [default["id"]])

    for limit in (1, 2, 200):
        seen, cursor, pages = [], None, 0
        while cursor is not None or not pages:
            query = f"limit={limit}" + (f"&cursor={cursor}" if cursor else "")
            answer = await roomy.call("GET", f"{PATH}/usage?{query}", "tenant_admin")
            seen += [(r["bucket"], (r["name"], r["profiles"])) for r in answer.json()["data"]]
            cursor, pages = answer.json()["next_cursor"], pages + 1
        assert seen == sorted(expected.items())
        assert pages == -(-len(expected) // limit)
    assert max(spent) == spent[-1] == 6  # the whole on one page


async def test_the_platforms_maxima_are_caps_too(bare: Stack) -> None:
    bare.knobs.limits = {"platform_max_concurrent_bunkers": 4}
    await bare.restart()
    mine = await me(bare)
    [row] = await bare.data_of("GET", f"{PATH}/usage")
    assert (row["profiles"], row["cap"]["concurrent_bunkers"]) == ([], 4)
    assert (row["remaining"]["concurrent_bunkers"], row["cap"]["memory_mb"]) == (4, None)
    profile = await made(bare, max_concurrent_bunkers=9, max_memory_mb=100)
    await assigned(bare, profile, target_kind="user", target_id=mine["user_id"])
    [row] = await bare.data_of("GET", f"{PATH}/usage", "tenant_admin")
    assert (row["cap"]["concurrent_bunkers"], row["cap"]["memory_mb"]) == (4, 100)
    group = await bare.data_of("POST", "/v1/groups", "tenant_admin", json={"name": "team"})
    await assigned(bare, profile, target_kind="group", target_id=group["id"])
    row = (await bare.data_of("GET", f"{PATH}/usage", "tenant_admin"))[0]
    assert (row["kind"], row["cap"]["concurrent_bunkers"]) == ("group", 9)
