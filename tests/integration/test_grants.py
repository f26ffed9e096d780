"""Who holds what: groups and what they inherit, custom roles, single permissions, modules; and that
every replica hears of a change."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from scaigrid.db import Database
from tests.integration.people import held, id_of, key, tenant_of, user
from tests.integration.stack import Knobs, Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until

DENIED = (403, "AUTHZ_PERMISSION_DENIED")
ROLES = "/v1/iam/custom-roles"
CREATE, EXECUTE, FILES = "scaibunker:create", "scaibunker:execute", "scaibunker:files"


async def group(stack: Stack, name: str, parent: str | None = None) -> str:
    body = {"name": name, "parent_id": parent}
    return str((await stack.data_of("POST", "/v1/groups", "tenant_admin", json=body))["id"])


async def role(stack: Stack, name: str, *permissions: str) -> str:
    body = {"name": name, "permissions": list(permissions)}
    return str((await stack.data_of("POST", ROLES, "tenant_admin", json=body))["id"])


async def admin(stack: Stack, method: str, path: str, **body: Any) -> Any:
    return await stack.data_of(method, path, "tenant_admin", json=body or None)


async def test_what_a_user_holds_comes_from_itself_its_roles_and_groups_above(bare: Stack) -> None:
    bob = await user(bare, "bob", who="tenant_admin")
    assert await held(bare, "bob") == set()
    top = await group(bare, "top")
    middle = await group(bare, "middle", top)
    leaf = await group(bare, "leaf", middle)
    by_group, by_role = await role(bare, "by-group", EXECUTE), await role(bare, "by-role", FILES)
    await admin(bare, "PUT", f"{ROLES}/{by_group}/groups/{top}")
    await admin(bare, "PUT", f"/v1/groups/{leaf}/members/{bob}")
    assert await held(bare, "bob") == {EXECUTE}
    await admin(bare, "PUT", f"{ROLES}/{by_role}/members/{bob}")
    await admin(bare, "PUT", f"{ROLES}/{by_role}/members/{bob}")  # again changes nothing
    assert await held(bare, "bob") == {EXECUTE, FILES}
    shown = await admin(bare, "PUT", f"/v1/users/{bob}/permissions", permissions=[CREATE])
    assert shown["permissions"] == [CREATE]
    assert set(shown["effective"]) == await held(bare, "bob") == {CREATE, EXECUTE, FILES}
    assert {g["name"] for g in await bare.data_of("GET", "/v1/groups", "bob")} == {
        "top",
        "middle",
        "leaf",
    }
    assert [u["id"] for u in await admin(bare, "GET", f"/v1/groups/{leaf}/members")] == [bob]
    assert await admin(bare, "GET", f"/v1/groups/{top}/members") == []
    assert [u["id"] for u in await admin(bare, "GET", f"{ROLES}/{by_role}/members")] == [bob]
    assert [g["id"] for g in await admin(bare, "GET", f"{ROLES}/{by_group}/groups")] == [top]

    await bare.data_of("PATCH", f"/v1/groups/{middle}", "tenant_admin", json={"parent_id": None})
    assert await held(bare, "bob") == {CREATE, FILES}  # no longer below the one with the role
    await admin(bare, "PATCH", f"{ROLES}/{by_role}", permissions=[EXECUTE])
    assert await held(bare, "bob") == {CREATE, EXECUTE}
    await admin(bare, "DELETE", f"{ROLES}/{by_role}")
    await bare.data_of(
        "PUT", f"/v1/users/{bob}/permissions", "tenant_admin", json={"permissions": []}
    )
    assert await held(bare, "bob") == set()


async def test_a_group_is_never_above_itself(bare: Stack) -> None:
    a = await group(bare, "a")
    b = await group(bare, "b", a)
    for group_id, parent in ((a, a), (a, b)):
        response = await bare.call(
            "PATCH", f"/v1/groups/{group_id}", "tenant_admin", json={"parent_id": parent}
        )
        assert error_of(response) == (422, "VALIDATION_ERROR")
        assert fields_of(response) == ["parent_id"]
    for round_ in range(4):
        one, two = await group(bare, f"one-{round_}"), await group(bare, f"two-{round_}")
        answers = await asyncio.gather(
            *(
                bare.call("PATCH", f"/v1/groups/{below}", "tenant_admin", json={"parent_id": above})
                for below, above in ((one, two), (two, one))
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 422]


async def test_groups_are_nested_so_deep_and_no_deeper(bare: Stack) -> None:
    at = None
    for level in range(16):
        at = await group(bare, f"level-{level}", at)
    body = {"name": "too-deep", "parent_id": at}
    response = await bare.call("POST", "/v1/groups", "tenant_admin", json=body)
    assert fields_of(response) == ["parent_id"]


async def test_a_group_that_is_not_empty_stays(bare: Stack) -> None:
    a = await group(bare, "a")
    b = await group(bare, "b", a)
    bob = await id_of(bare, "user")
    await admin(bare, "PUT", f"/v1/groups/{b}/members/{bob}")
    await admin(bare, "PUT", f"{ROLES}/{await role(bare, 'r', FILES)}/groups/{b}")
    for group_id in (a, b):
        response = await bare.call("DELETE", f"/v1/groups/{group_id}", "tenant_admin")
        assert error_of(response) == (409, "GROUP_NOT_EMPTY")
    await admin(bare, "DELETE", f"/v1/groups/{b}/members/{bob}")
    for group_id in (b, a):
        await admin(bare, "DELETE", f"/v1/groups/{group_id}")
    assert await admin(bare, "GET", "/v1/groups") == []


async def test_a_grant_is_of_keys_that_exist_and_that_the_giver_holds(bare: Stack) -> None:
    own = await id_of(bare, "user")
    platform = "scaibunker:admin:platform"
    for method, path in (("POST", ROLES), ("PUT", f"/v1/users/{own}/permissions")):
        for who, key_, status in (
            ("tenant_admin", "scaibunker:fly", 422),
            ("tenant_admin", platform, 403),
            ("super_admin", platform, 422),
            ("user", FILES, 403),
        ):
            body = {"permissions": [key_], **({"name": "x"} if method == "POST" else {})}
            response = await bare.call(method, path, who, json=body)
            assert response.status_code == status, (path, who, response.text)
    assert platform not in await held(bare, "user")


@pytest.fixture
def knobs() -> Knobs:
    """A memory so long that only a hint can be why a replica knows better."""
    return Knobs(auth_cache_ttl_s=60)


@pytest.fixture
async def replica(bare: Stack) -> AsyncIterator[Stack]:
    """A second controller on the same database and Redis."""
    second = Stack(
        bare.data, bare.database_settings, bare.redis_settings, bare.keys, replace(bare.knobs)
    )
    await second.start()
    yield second
    await second.stop()


async def test_every_replica_hears_of_a_change(bare: Stack, replica: Stack) -> None:
    bob = await user(bare, "bob", who="tenant_admin")
    first = bare.keys["bob"]
    second_key = await key(bare, "bob", bob, "tenant_admin")
    replica.keys = bare.keys

    async def seen(status: int, path: str = "/v1/me") -> None:
        async def answered() -> bool:
            return (await replica.call("GET", path, "bob")).status_code == status

        await until(answered)

    await seen(200)
    await admin(bare, "PUT", f"/v1/users/{bob}/permissions", permissions=[CREATE])
    await seen(200, "/bunkers")
    await admin(bare, "POST", "/v1/modules/scaibunker/disable")
    await seen(403, "/bunkers")
    await admin(bare, "POST", "/v1/modules/scaibunker/enable")
    await seen(200, "/bunkers")
    await bare.data_of("DELETE", f"/v1/api-keys/{second_key}", "tenant_admin")
    await seen(401)
    replica.keys = {**replica.keys, "bob": first}
    await seen(200)
    await admin(bare, "PATCH", f"/v1/users/{bob}", status="disabled")
    await seen(403)
    await admin(bare, "PATCH", f"/v1/users/{bob}", status="active")
    await seen(200)


async def test_a_caller_that_is_known_costs_the_database_nothing(
    bare: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bare.data_of("GET", "/v1/me", "user")

    def none(_: Database) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(Database, "read", none)
    assert (await bare.call("GET", "/v1/me", "user")).status_code == 200
    assert (await bare.call("GET", "/v1/me", "viewer")).status_code == 500


async def test_what_is_another_tenants_is_as_if_it_were_not(bare: Stack) -> None:
    theirs = {"user": await id_of(bare, "stranger"), "tenant": await tenant_of(bare, "stranger")}
    for name, path in (("group", "/v1/groups"), ("role", ROLES)):
        made = await bare.data_of("POST", path, "stranger", json={"name": name})
        theirs[name] = made["id"]
    mine, own = await group(bare, "mine"), await role(bare, "own")
    absent = {name: f"{value[:3]}_none" for name, value in theirs.items()}
    tried: list[tuple[str, str, dict[str, str | list[str]] | None]] = [
        ("POST", "/v1/groups", {"name": "x", "tenant_id": "{tenant}"}),
        ("POST", "/v1/groups", {"name": "x", "parent_id": "{group}"}),
        ("GET", "/v1/groups/{group}", None),
        ("PATCH", "/v1/groups/{group}", {"name": "x"}),
        ("PATCH", f"/v1/groups/{mine}", {"parent_id": "{group}"}),
        ("DELETE", "/v1/groups/{group}", None),
        ("GET", "/v1/groups/{group}/members", None),
        ("PUT", f"/v1/groups/{mine}/members/{{user}}", None),
        ("DELETE", f"/v1/groups/{mine}/members/{{user}}", None),
        ("POST", ROLES, {"name": "x", "tenant_id": "{tenant}"}),
        ("GET", ROLES + "/{role}", None),
        ("PATCH", ROLES + "/{role}", {"permissions": []}),
        ("DELETE", ROLES + "/{role}", None),
        ("GET", ROLES + "/{role}/members", None),
        ("GET", ROLES + "/{role}/groups", None),
        ("PUT", f"{ROLES}/{own}/members/{{user}}", None),
        ("PUT", f"{ROLES}/{own}/groups/{{group}}", None),
        ("GET", "/v1/users/{user}/permissions", None),
        ("PUT", "/v1/users/{user}/permissions", {"permissions": []}),
    ]
    for method, path, body in tried:
        answers = []
        for ids in (theirs, absent):
            filled = {
                name: value.format(**ids) if isinstance(value, str) else value
                for name, value in (body or {}).items()
            }
            answers.append(
                await bare.call(method, path.format(**ids), "tenant_admin", json=filled or None)
            )
        assert [answer.status_code for answer in answers] == [404, 404], (method, path)
        assert answers[0].json()["error"] == answers[1].json()["error"], (method, path)
    for path in ("/v1/groups", ROLES):
        found = await admin(bare, "GET", f"{path}?tenant_id={theirs['tenant']}")
        assert found == []


async def test_a_super_admin_grants_in_the_tenant_of_what_it_grants(bare: Stack) -> None:
    elsewhere, stranger = await tenant_of(bare, "stranger"), await id_of(bare, "stranger")
    made = await bare.data_of(
        "POST", "/v1/groups", "super_admin", json={"name": "g", "tenant_id": elsewhere}
    )
    assert made["tenant_id"] == elsewhere
    path = f"/v1/groups/{made['id']}/members"
    await bare.data_of("PUT", f"{path}/{stranger}", "super_admin")
    assert [g["id"] for g in await bare.data_of("GET", "/v1/groups", "stranger")] == [made["id"]]
    # What it reaches is not one tenant: a user of another one is not there for this group.
    mixed = await bare.call("PUT", f"{path}/{await id_of(bare, 'user')}", "super_admin")
    assert error_of(mixed) == (404, "USER_NOT_FOUND")


async def test_nobody_changes_the_permissions_of_those_above(bare: Stack) -> None:
    root = await id_of(bare, "super_admin")
    body = {"permissions": [CREATE]}
    response = await bare.call("PUT", f"/v1/users/{root}/permissions", "tenant_admin", json=body)
    assert error_of(response) == DENIED
    for who in ("user", "viewer"):
        for path in (ROLES, "/v1/users/usr_x/permissions", "/v1/groups/grp_x/members"):
            assert error_of(await bare.call("GET", path, who)) == DENIED
        assert error_of(await bare.call("POST", "/v1/groups", who, json={"name": "x"})) == DENIED
        assert await bare.data_of("GET", "/v1/groups", who) == []


@ONE_DATABASE
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/groups", {}, "name"),
        ("/v1/groups", {"name": " x"}, "name"),
        ("/v1/groups", {"name": "x", "parent_id": 7}, "parent_id"),
        ("/v1/groups", {"name": "x", "colour": "red"}, "colour"),
        (ROLES, {"name": "x" * 129}, "name"),
        (ROLES, {"name": "x", "permissions": "all"}, "permissions"),
        (ROLES, {"name": "x", "permissions": ["k"] * 257}, "permissions"),
    ],
)
async def test_what_makes_no_sense_names_the_field(
    bare: Stack, path: str, body: dict[str, Any], field: str
) -> None:
    response = await bare.call("POST", path, "tenant_admin", json=body)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == [field]


async def test_names_are_taken_once_in_a_tenant(bare: Stack) -> None:
    for path in ("/v1/groups", ROLES):
        for who, status in (("tenant_admin", 201), ("tenant_admin", 409), ("stranger", 201)):
            response = await bare.call("POST", path, who, json={"name": "same"})
            assert response.status_code == status
