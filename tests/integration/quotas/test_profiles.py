"""Quota profiles over HTTP: who makes them, and whom they bound."""

import asyncio
from typing import Any

import pytest

from tests.integration.people import user
from tests.integration.quotas.books import SMALL, attempt
from tests.integration.quotas.profiles import PATH, assigned, made, me
from tests.integration.stack import Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until


async def test_a_profile_is_made_read_changed_and_deleted(roomy: Stack) -> None:
    profile = await made(roomy, max_concurrent_bunkers=2, per_bunker_max_memory=512)
    assert profile["id"].startswith("qpf_")
    assert profile["tenant_id"] == (await me(roomy))["tenant_id"]
    assert (profile["max_concurrent_bunkers"], profile["max_disk_mb"]) == (2, None)
    one = f"{PATH}/{profile['id']}"
    assert await roomy.data_of("GET", one, "tenant_admin") == profile
    assert profile in await roomy.data_of("GET", PATH, "tenant_admin")
    change = {"max_concurrent_bunkers": None, "max_disk_mb": 100, "description": "less"}
    changed = await roomy.data_of("PATCH", one, "tenant_admin", json=change)
    assert changed == {**profile, **change}
    assert await roomy.data_of("DELETE", one, "tenant_admin") == changed
    gone = await roomy.call("GET", one, "tenant_admin")
    assert error_of(gone) == (404, "QUOTA_PROFILE_NOT_FOUND")


async def test_names_are_taken_once_by_each_owner(roomy: Stack) -> None:
    await made(roomy)
    again = await roomy.call("POST", PATH, "tenant_admin", json={"name": "small"})
    assert error_of(again) == (409, "NAME_CONFLICT")
    assert (await made(roomy, "stranger"))["name"] == "small"
    assert (await made(roomy, "super_admin"))["tenant_id"] is None
    again = await roomy.call("POST", PATH, "super_admin", json={"name": "small"})
    assert error_of(again) == (409, "NAME_CONFLICT")


@ONE_DATABASE
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_memory_mb", -1),
        ("max_memory_mb", 1 << 31),
        ("max_gpu_count", True),
        ("per_bunker_max_cpu", "2"),
        ("name", ""),
        ("name", " small"),
        ("name", "sm\u202eall"),
        ("name", "a\nb"),
        ("name", "x" * 129),
        ("description", "x" * 1025),
        ("max_disk", 1),
    ],
)
async def test_what_is_no_profile_is_refused_by_its_field(
    roomy: Stack, field: str, value: object
) -> None:
    bad = await roomy.call("POST", PATH, "tenant_admin", json={"name": "x", field: value})
    assert error_of(bad) == (422, "VALIDATION_ERROR")
    assert fields_of(bad) == [field]


async def test_defaults_of_the_platform_are_read_by_all_and_changed_by_its_own(
    roomy: Stack,
) -> None:
    default = await made(roomy, "super_admin", max_concurrent_bunkers=1)
    one = f"{PATH}/{default['id']}"
    assert await roomy.data_of("GET", one, "tenant_admin") == default
    for method, body in (("PATCH", {"max_concurrent_bunkers": 9}), ("DELETE", None)):
        refused = await roomy.call(method, one, "tenant_admin", json=body)
        assert error_of(refused) == (403, "AUTHZ_PERMISSION_DENIED")
    own = {"name": "mine", "tenant_id": None}
    assert error_of(await roomy.call("POST", PATH, "tenant_admin", json=own))[0] == 403
    assert (await attempt(roomy)).status_code == 201
    assert (await attempt(roomy)).status_code == 429
    await roomy.data_of("DELETE", one, "super_admin")
    assert (await attempt(roomy)).status_code == 201


async def test_an_assignment_bounds_its_user_until_it_is_taken_away(roomy: Stack) -> None:
    who = (await me(roomy))["user_id"]
    profile = await made(roomy, max_concurrent_bunkers=1)
    target = {"target_kind": "user", "target_id": who}
    given = await assigned(roomy, profile, **target)
    assert (given["mode"], given["target_id"]) == ("individual", who)
    assert await assigned(roomy, profile, **target) == given
    path = f"{PATH}/{profile['id']}/assignments"
    assert await roomy.data_of("GET", path, "tenant_admin") == [given]
    assert await roomy.data_of("GET", f"{path}/{given['id']}", "tenant_admin") == given
    assert (await attempt(roomy)).status_code == 201
    assert (await attempt(roomy)).status_code == 429
    other = await made(roomy, name="other")
    second = await roomy.call(
        "POST", f"{PATH}/{other['id']}/assignments", "tenant_admin", json=target
    )
    assert error_of(second) == (409, "NAME_CONFLICT")
    await roomy.data_of("DELETE", f"{path}/{given['id']}", "tenant_admin")
    assert (await attempt(roomy)).status_code == 201
    again = await roomy.call("DELETE", f"{path}/{given['id']}", "tenant_admin")
    assert error_of(again) == (404, "QUOTA_ASSIGNMENT_NOT_FOUND")


async def test_targets_are_of_the_profiles_tenant(roomy: Stack) -> None:
    profile = await made(roomy)
    path = f"{PATH}/{profile['id']}/assignments"
    stranger = (await me(roomy, "stranger"))["user_id"]
    for target, code in (
        ({"target_kind": "user", "target_id": stranger}, "USER_NOT_FOUND"),
        ({"target_kind": "user", "target_id": "usr_none"}, "USER_NOT_FOUND"),
        ({"target_kind": "group", "target_id": "grp_none"}, "GROUP_NOT_FOUND"),
    ):
        for who in ("tenant_admin", "super_admin"):
            assert error_of(await roomy.call("POST", path, who, json=target)) == (404, code)
    mode = {"target_kind": "user", "target_id": stranger, "mode": "shared"}
    refused = await roomy.call("POST", path, "tenant_admin", json=mode)
    assert fields_of(refused) == ["mode"]
    default = await made(roomy, "super_admin")
    given = await assigned(roomy, default, "super_admin", target_kind="user", target_id=stranger)
    assert given["tenant_id"] == (await me(roomy, "stranger"))["tenant_id"]


async def test_another_tenants_profile_is_not_there(roomy: Stack) -> None:
    profile = await made(roomy)
    one = f"{PATH}/{profile['id']}"
    for method in ("GET", "PATCH", "DELETE"):
        body = {"name": "x"} if method == "PATCH" else None
        answer = await roomy.call(method, one, "stranger", json=body)
        assert error_of(answer) == (404, "QUOTA_PROFILE_NOT_FOUND")
    assert profile not in await roomy.data_of("GET", PATH, "stranger")


async def test_a_group_that_is_gone_takes_its_assignment_along(roomy: Stack) -> None:
    group = await roomy.data_of("POST", "/v1/groups", "tenant_admin", json={"name": "gone"})
    profile = await made(roomy)
    path = f"{PATH}/{profile['id']}/assignments"
    given = await assigned(roomy, profile, target_kind="group", target_id=group["id"])
    stays = await assigned(
        roomy, profile, target_kind="user", target_id=await user(roomy, "colleague")
    )
    rows = await roomy.data_of("GET", f"{PATH}/usage", "tenant_admin")
    assert (f"group:{group['id']}", "gone") in [(row["bucket"], row["name"]) for row in rows]
    await roomy.data_of("DELETE", f"/v1/groups/{group['id']}", "tenant_admin")
    assert await roomy.data_of("GET", path, "tenant_admin") == [stays]
    for method in ("GET", "DELETE"):
        gone = await roomy.call(method, f"{path}/{given['id']}", "tenant_admin")
        assert error_of(gone) == (404, "QUOTA_ASSIGNMENT_NOT_FOUND")
    rows = await roomy.data_of("GET", f"{PATH}/usage", "tenant_admin")
    assert [row["id"] for row in rows] == [stays["target_id"]]
    assert (await attempt(roomy)).status_code == 201
    assert await roomy.data_of("DELETE", f"{PATH}/{profile['id']}", "tenant_admin") == profile


async def test_assigning_and_deleting_at_once_leaves_no_half(roomy: Stack) -> None:
    people = [await user(roomy, f"person{number}") for number in range(6)]
    profile = await made(roomy)
    path = f"{PATH}/{profile['id']}"
    answers = await asyncio.gather(
        *(
            roomy.call(
                "POST",
                f"{path}/assignments",
                "tenant_admin",
                json={"target_kind": "user", "target_id": person},
            )
            for person in people
        ),
        roomy.call("DELETE", path, "tenant_admin"),
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 404}
    other = await made(roomy, name="other")
    for person in people:  # none of them has the one that is gone
        given = await assigned(roomy, other, target_kind="user", target_id=person)
        assert given["profile_id"] == other["id"]


async def test_a_bunker_that_is_too_large_by_itself_is_told_so(roomy: Stack) -> None:
    profile = await made(roomy, per_bunker_max_memory=100)
    await assigned(roomy, profile, target_kind="user", target_id=(await me(roomy))["user_id"])
    assert (await attempt(roomy)).status_code == 201
    refused = await roomy.call("POST", "/bunkers", json={**SMALL, "memory_mb": 128})
    assert error_of(refused) == (429, "BUNKER_QUOTA_EXCEEDED")
    error = refused.json()["error"]
    assert error["message"] == (
        "Quota small: a single bunker has 100 MiB of memory at most, 128 asked for."
    )
    assert "End bunkers" not in error["hint"]
    [said] = error["details"]
    assert (said["profile"], said["resource"]) == (profile["id"], "memory_mb")
    assert (said["current"], said["requested"], said["cap"]) == (0, 128, 100)
    assert said["bucket"].startswith("bunker:")


async def test_whom_an_assignment_was_for_is_in_the_audit_log(roomy: Stack) -> None:
    who = (await me(roomy))["user_id"]
    profile = await made(roomy)
    given = await assigned(roomy, profile, target_kind="user", target_id=who)
    path = f"{PATH}/{profile['id']}/assignments/{given['id']}"
    await roomy.data_of("DELETE", path, "tenant_admin")
    facts = {
        "profile_id": profile["id"],
        "target_kind": "user",
        "target_id": who,
        "mode": "individual",
    }
    for action in ("assign_quota_profile", "unassign_quota_profile"):
        entries: list[dict[str, Any]] = []

        async def written(action: str = action, entries: list[dict[str, Any]] = entries) -> bool:
            query = f"/v1/audit-log?action={action}"
            entries[:] = await roomy.data_of("GET", query, "tenant_admin")
            return bool(entries)

        await until(written)
        [entry] = entries
        assert entry["details"].items() >= facts.items()
        assert (entry["outcome"], entry["tenant_id"]) == ("success", given["tenant_id"])
