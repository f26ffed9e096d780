"""The audit log: every request that could change something, once, and nothing secret."""

import asyncio
import csv
import io
import json
import re
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update

from scaigrid.audit import folding, repository
from scaigrid.audit.tables import audit_log
from scaigrid.auth.service import issue
from scaigrid.clock import SystemClock
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.operation import system_operation
from scaigrid.permissions.domain import Role
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.tables import partners, tenants
from tests.integration.audit_log import LOG, entries, entry_for
from tests.integration.inside import whole
from tests.integration.stack import Stack, error_of

BOGUS = {"Authorization": "Bearer sgk_" + "x" * 43}


def mutating(stack: Stack) -> list[tuple[str, str]]:
    document = stack.grid.app.openapi()
    return [
        (method.upper(), re.sub(r"\{\w+\}", "some_thing", path))
        for path, methods in document["paths"].items()
        for method in methods
        if method in ("post", "put", "patch", "delete")
    ]


async def test_every_operation_that_changes_something_leaves_exactly_one_entry(
    bare: Stack,
) -> None:
    tried = mutating(bare)
    assert len(tried) > 10
    for method, path in tried:
        response = await bare.call(method, path, None, headers=BOGUS, json={"secret": "hush"})
        assert response.status_code == 401, path
        entry = await entry_for(bare, response)
        assert (entry["method"], entry["path"]) == (method, path)
        assert (entry["status"], entry["outcome"]) == (401, "refused")
        assert entry["code"] == response.json()["error"]["code"]
        assert (entry["actor_type"], entry["actor_id"]) == ("anonymous", None)
        assert entry["address"] == "127.0.0.1"
        assert entry["action"] != "unknown_operation"
        assert entry["resource_type"]
        assert entry["resource_id"] == ("some_thing" if "some_thing" in path else None)
    assert len(await entries(bare)) == len(tried)
    assert "hush" not in json.dumps(await entries(bare))


async def test_heartbeats_are_exempt_but_not_with_a_bad_token(stack: Stack) -> None:
    assert await entries(stack) == []  # the worker has reported
    response = await stack.call("POST", "/heartbeat", None, headers=BOGUS, json={})
    assert (await entry_for(stack, response))["action"] == "post_heartbeat"


async def test_what_a_user_does_and_is_refused(stack: Stack, bunker: str) -> None:
    [made] = await entries(stack, "tenant_admin", action="create_bunker")
    me = await stack.data_of("GET", "/v1/me")
    assert (made["resource_type"], made["resource_id"]) == ("bunker", bunker)
    assert (made["actor_type"], made["actor_id"]) == ("user", me["user_id"])
    assert made["tenant_id"] == me["tenant_id"]
    assert (made["outcome"], made["status"], made["code"]) == ("success", 201, None)
    one = f"/bunkers/{bunker}"
    cases: list[tuple[str, str, dict[str, Any], int, str, str | None]] = [
        ("POST", f"{one}/exec", {"command": 7}, 422, "run_command", bunker),
        ("POST", "/bunkers", {"name": "x" * 2**22}, 413, "create_bunker", None),
        ("POST", f"{one}/pause", {}, 200, "pause_bunker", bunker),
        ("POST", f"{one}/pause", {}, 409, "pause_bunker", bunker),
        (
            "POST",
            f"{one}/execs/exe_1/signal",
            {"signal": "SIGTERM"},
            404,
            "signal_command",
            "exe_1",
        ),
        ("DELETE", "/bunkers/bnk_none", {}, 404, "delete_bunker", "bnk_none"),
        ("POST", "/nowhere", {}, 404, "unknown_operation", None),
        ("PATCH", "/bunkers", {}, 405, "unknown_operation", None),
    ]
    for method, path, body, status, action, resource in cases:
        response = await stack.call(method, path, json=body)
        entry = await entry_for(stack, response)
        assert (path, entry["status"], entry["action"]) == (path, status, action)
        assert entry["resource_id"] == resource
        assert entry["outcome"] == ("success" if status < 400 else "refused")
        if status >= 400:
            assert entry["code"] == response.json()["error"]["code"]
        known = action != "unknown_operation"  # nobody has looked at the credential there
        assert entry["actor_id"] == (me["user_id"] if known else None)
    response = await stack.call("POST", "/bunkers", "viewer", json={"image": "debian-12"})
    assert error_of(response) == (403, "AUTHZ_PERMISSION_DENIED")
    assert (await entry_for(stack, response, "tenant_admin"))["actor_name"] == "viewer"


async def test_a_fault_is_recorded(bare: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("hush")

    monkeypatch.setattr("scaigrid.auth.service.repository.get", fail)
    response = await bare.call("DELETE", "/v1/api-keys/key_1")
    assert error_of(response) == (500, "INTERNAL_ERROR")
    entry = await entry_for(bare, response)
    assert (entry["outcome"], entry["code"]) == ("failed", "INTERNAL_ERROR")
    assert (entry["resource_type"], entry["resource_id"]) == ("api_key", "key_1")


async def test_nothing_secret_is_in_it(stack: Stack) -> None:
    secret = "hush-" + "a1b2" * 8
    bunker = await stack.create(env_vars={"TOKEN": secret}, label_set={"a": secret})
    one = f"/bunkers/{bunker['id']}"
    body = {"command": f"echo {secret}", "env": {"K": secret}, "stdin": secret}
    for more in ({}, {"stream": True}, {"detach": True}):
        await stack.call("POST", f"{one}/exec", json=body | more)
    await stack.call("PUT", f"{one}/files", params={"path": f"/{secret}"}, content=secret)
    await stack.call("POST", f"{one}/files/mkdir", json={"path": f"/{secret}"})
    key = await stack.data_of("POST", "/v1/api-keys", json={"name": secret})
    await stack.call("DELETE", f"/v1/api-keys/{key['id']}", headers={"Idempotency-Key": secret})
    await stack.call("POST", "/nowhere/" + key["key"])
    await stack.call("DELETE", f"/v1/api-keys/{key['key']}")
    found = await entries(stack)
    assert len(found) == 10
    everything = json.dumps(found)
    assert secret not in everything
    assert key["key"] not in everything
    assert stack.keys["user"] not in everything
    [made] = [e for e in found if e["action"] == "create_api_key"]
    assert made["resource_id"] == key["id"]
    commands = [e for e in found if e["action"] == "run_command"]
    assert len({e["details"]["exec_id"] for e in commands}) == 3


async def test_switching_a_spoof_guard_off_is_told(stack: Stack) -> None:
    interface = {"if_name": "eth0", "bridge_name": "br", "spoof_guard": False}
    body = {"image": "debian-12", "network_profile": "transit", "interfaces": [interface]}
    for who in ("super_admin", "user"):
        await stack.call("POST", "/bunkers", who, json=body)
    refused, used = await entries(stack, action="create_bunker")
    assert refused["status"] == 403
    for entry in (refused, used):
        assert entry["details"]["spoof_guard"] is False
        assert entry["details"]["unguarded_interfaces"] == "eth0"
    await stack.create()
    assert "spoof_guard" not in (await entries(stack, action="create_bunker"))[0]["details"]


async def test_a_repeated_request_is_an_entry_of_its_own(stack: Stack) -> None:
    body, headers = {"image": "debian-12"}, {"Idempotency-Key": "once"}
    await stack.call("POST", "/bunkers", json=body, headers=headers)
    await stack.call("POST", "/bunkers", json=body, headers=headers)
    again, first = await entries(stack)
    assert first["resource_id"]
    assert "replayed" not in first["details"]
    assert again["details"]["replayed"] is True
    assert again["details"]["credential_id"] == first["details"]["credential_id"]


async def test_who_may_read(stack: Stack) -> None:
    await stack.create()
    await stack.call("POST", "/bunkers", "stranger", json={})
    await stack.call("POST", "/bunkers", None, json={})
    for who in ("user", "viewer"):
        for path in (LOG, f"{LOG}/export"):
            assert error_of(await stack.call("GET", path, who)) == (403, "AUTHZ_PERMISSION_DENIED")
    assert [e["status"] for e in await entries(stack, "tenant_admin")] == [201]
    [foreign] = await entries(stack, "stranger")
    assert foreign["status"] == 422
    assert await entries(stack, "tenant_admin", tenant_id=foreign["tenant_id"]) == []
    assert await entries(stack, "tenant_admin", request_id=foreign["request_id"]) == []
    assert [e["status"] for e in await entries(stack)] == [401, 422, 201]
    assert [e["id"] for e in await entries(stack, tenant_id=foreign["tenant_id"])] == [
        foreign["id"]
    ]
    export = await stack.call("GET", f"{LOG}/export", "stranger")
    assert [json.loads(line) for line in export.text.splitlines()] == [foreign]


async def test_a_partners_administrator_sees_the_partners_tenants(bare: Stack) -> None:
    stranger = await bare.data_of("GET", "/v1/me", "stranger")
    op = system_operation("tests", SystemClock())
    async with bare.grid.database.write() as db:
        await db.execute(insert(partners).values(id="par_1", name="p", created_at=op.now()))
        ours = whole(update(tenants).where(tenants.c.id == stranger["tenant_id"]))
        await db.execute(ours.values(partner_id="par_1"))
        home = await tenancy.add_tenant(op, db, "home of the partner", "par_1")
        user = await tenancy.add_user(op, db, home.id, "p", Role.PARTNER_ADMIN)
        _, key = await issue(op, db, tenant_id=home.id, user_id=user.id, name="t")
    bare.keys = bare.keys | {"partner": key}
    for who in ("partner", "stranger", "user"):
        await bare.call("POST", "/bunkers", who, json={})
    seen = [entry["tenant_id"] for entry in await entries(bare, "partner")]
    assert seen == [stranger["tenant_id"], home.id]
    assert await entries(bare, "partner", tenant_id="ten_none") == []


async def test_what_is_done_to_a_tenant_is_in_its_own_log(bare: Stack) -> None:
    """Also what others do; but nobody writes there by naming it in vain."""
    me = await bare.data_of("GET", "/v1/me", "stranger")
    tenant, user = f"/v1/tenants/{me['tenant_id']}", {"user_id": me["user_id"], "name": "n"}
    assert error_of(await bare.call("PATCH", tenant, "tenant_admin", json={}))[0] >= 403
    await bare.data_of("PATCH", tenant, "super_admin", json={"name": "renamed"})
    key = await bare.data_of("POST", "/v1/api-keys", "super_admin", json=user)
    await bare.data_of("DELETE", f"/v1/api-keys/{key['id']}", "super_admin")
    seen = await entries(bare, "stranger")
    assert [(entry["action"], entry["actor_name"]) for entry in seen] == [
        ("revoke_api_key", "super_admin"),
        ("create_api_key", "super_admin"),
        ("change_tenant", "super_admin"),
    ]
    assert {entry["tenant_id"] for entry in seen} == {me["tenant_id"]}


async def test_filters(stack: Stack, bunker: str) -> None:
    await stack.call("POST", f"/bunkers/{bunker}/pause")
    await stack.call("POST", f"/bunkers/{bunker}/pause")
    made, paused, refused = reversed(await entries(stack, "tenant_admin"))
    cases = [
        ({"action": "pause_bunker"}, [refused, paused]),
        ({"outcome": "success"}, [paused, made]),
        ({"status": 409}, [refused]),
        ({"code": "BUNKER_INVALID_TRANSITION"}, [refused]),
        ({"resource_type": "bunker", "resource_id": bunker}, [refused, paused, made]),
        ({"actor": made["actor_id"], "address": "127.0.0.1"}, [refused, paused, made]),
        ({"actor": "usr_none"}, []),
        ({"since": paused["at"]}, [refused, paused]),
        ({"until": paused["at"], "action": "create_bunker"}, [made]),
        ({"request_id": paused["request_id"]}, [paused]),
    ]
    for wanted, expected in cases:
        assert await entries(stack, "tenant_admin", **wanted) == expected, wanted
    for wrong in ({"outcome": "good"}, {"status": 7}, {"since": "soon"}, {"cursor": "x"}):
        response = await stack.call("GET", LOG, "tenant_admin", params=wrong)
        assert error_of(response) == (422, "VALIDATION_ERROR"), wrong


async def test_pages_stay_stable_while_entries_are_added(bare: Stack) -> None:
    async def act() -> None:
        await bare.call("DELETE", "/bunkers/bnk_none")

    for _ in range(7):
        await act()
    before = [e["id"] for e in await entries(bare, "tenant_admin")]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await bare.call("GET", LOG, "tenant_admin", params={"limit": 2, **cursor})).json()
        seen += [e["id"] for e in page["data"]]
        await act()
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == before
    assert len(before) == 7


async def test_export_as_csv_has_no_formulas(bare: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaigrid.audit.routes.PAGE", 2)
    monkeypatch.setattr("scaigrid.audit.export.PAGE", 2)
    for name in ("=1+1", "+x", "-x", "@x", 'a,"b"'):
        await bare.call("DELETE", f"/bunkers/{name}")
    answer = await bare.call("GET", f"{LOG}/export", "tenant_admin", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["resource_id"] for row in rows] == ['a,"b"', "'@x", "'-x", "'+x", "'=1+1"]
    assert {row["actor_name"] for row in rows} == {"user"}
    lines = (await bare.call("GET", f"{LOG}/export", "tenant_admin")).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in rows]


async def test_an_export_that_breaks_is_cut_so_that_it_cannot_seem_whole(
    bare: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await bare.call("DELETE", "/bunkers/bnk_none")
    listing = repository.listing

    async def once(op: Any, db: Any, page: Any, wanted: Any) -> Any:
        if page.after is not None:
            raise DatabaseUnavailable
        return await listing(op, db, page, wanted)

    monkeypatch.setattr("scaigrid.audit.routes.PAGE", 2)
    monkeypatch.setattr(repository, "listing", once)
    with pytest.raises(httpx.RemoteProtocolError):
        await bare.call("GET", f"{LOG}/export", "tenant_admin")


async def test_a_flood_of_refusals_is_folded(bare: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    enough, more = 40, 15
    monkeypatch.setattr(folding, "CHEAP", enough)
    for _ in range(enough + more):
        await bare.call("POST", "/bunkers", None)
    await bare.data_of("POST", "/v1/api-keys", json={"name": "n"})  # what succeeds never is
    singles = [e for e in await entries(bare) if e["status"] == 401]
    assert len(singles) == enough
    await bare.restart()
    newest, *rest = [e for e in await entries(bare) if e["status"] == 401]
    assert rest == singles
    assert newest["details"]["folded"] == more
    assert newest["code"] == "AUTH_TOKEN_MISSING"
    assert len(await entries(bare, action="create_api_key")) == 1


async def test_what_was_answered_survives_a_crash(bare: Stack) -> None:
    key = await bare.data_of("POST", "/v1/api-keys", json={"name": "n"})
    async with bare.grid.database.read() as db:  # past every queue
        rows = await db.rows(whole(select(audit_log.c.resource_id)))
    assert [row["resource_id"] for row in rows] == [key["id"]]


async def test_a_database_that_is_busy_holds_an_answer_up_for_a_while_only(
    bare: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Event()
    apply = bare.grid.database.apply

    async def stuck(work: Any) -> Any:
        await held.wait()
        return await apply(work)

    monkeypatch.setattr("scaigrid.audit.recorder.DURABLE_S", 0.2)
    monkeypatch.setattr(bare.grid.audit._writer._database, "apply", stuck)
    key = await bare.data_of("POST", "/v1/api-keys", json={"name": "n"})
    assert await entries(bare) == []
    held.set()
    assert [e["resource_id"] for e in await entries(bare)] == [key["id"]]
