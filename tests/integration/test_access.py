"""Who gets in, and what they may reach: credentials, permissions, owners, tenants."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from scaibunker.controller.relay.tables import file_operations
from scaigrid.clock import SystemClock
from scaigrid.http.routes import GuardedRoute
from tests.integration.inside import whole
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import BASE, Stack, error_of

PUBLIC = {("GET", path) for path in ("/health", "/health/live", "/health/ready", "/metrics")}


def operations(stack: Stack) -> list[tuple[str, str, GuardedRoute]]:
    return [
        (route.declaration.method, route.declaration.path, route)
        for route in stack.grid.app.router.routes
        if isinstance(route, GuardedRoute)
    ]


def concrete(path: str) -> str:
    for name in ("bunker_id", "exec_id", "image_id", "worker_id", "key_id"):
        path = path.replace(f"{{{name}}}", f"{name[:3]}_nope")
    return path


async def test_every_operation_asks_for_a_credential(bare: Stack) -> None:
    for method, path, _ in operations(bare):
        if (method, path) in PUBLIC:
            continue
        response = await bare.call(method, concrete(path), None, json={})
        if method == "HEAD":  # its answers have no body
            assert (response.status_code, response.content) == (401, b""), path
        else:
            assert error_of(response) == (401, "AUTH_TOKEN_MISSING"), (method, path)
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer sgk_" + "x" * 43,
        "Bearer nonsense",
        "Bearer " + "é" * 40,
        "Basic dXNlcjpwYXNz",
        "sgk_" + "x" * 43,
        "Bearer a b",
    ],
)
async def test_a_wrong_credential_is_invalid(bare: Stack, header: str) -> None:
    for path in ("/v1/me", f"{BASE}/bunkers"):
        response = await bare.client.get(path, headers={"Authorization": header.encode()})
        assert error_of(response) == (401, "AUTH_TOKEN_INVALID")


@pytest.mark.parametrize("header", ["", "Bearer", "bearer"])
async def test_an_empty_credential_is_a_missing_one(bare: Stack, header: str) -> None:
    response = await bare.call("GET", "/v1/me", None, headers={"Authorization": header})
    assert error_of(response) == (401, "AUTH_TOKEN_MISSING")


async def test_the_viewer_has_no_permission_anywhere(stack: Stack) -> None:
    me = await stack.data_of("GET", "/v1/me", "viewer")
    assert (me["role"], me["permissions"]) == ("tenant_viewer", [])
    for method, path, route in operations(stack):
        if not route.declaration.access.keys:
            continue
        # Whatever the body is, and whether or not the thing exists: the permission comes first.
        for body in (b"{", b'{"bogus": 1}'):
            response = await stack.call(method, concrete(path), "viewer", content=body)
            assert error_of(response) == (403, "AUTHZ_PERMISSION_DENIED"), (method, path)
            named = [d["permission"] for d in response.json()["error"]["details"]]
            assert named == list(route.declaration.access.keys)


async def test_what_each_role_may_do(stack: Stack) -> None:
    held = {
        who: set((await stack.data_of("GET", "/v1/me", who))["permissions"])
        for who in ("super_admin", "tenant_admin", "user")
    }
    assert len(held["super_admin"]) == 16
    assert held["super_admin"] - held["tenant_admin"] == {"scaibunker:admin:platform"}
    assert held["user"] == {
        "scaibunker:create",
        "scaibunker:create:session",
        "scaibunker:create:persistent",
        "scaibunker:execute",
        "scaibunker:shell",
        "scaibunker:files",
        "scaibunker:root",
        "scaibunker:network:registry",
        "scaibunker:network:allowlisted",
    }


async def test_workers_are_for_operators(stack: Stack) -> None:
    assert error_of(await stack.call("GET", "/workers", "user")) == (
        403,
        "AUTHZ_PERMISSION_DENIED",
    )
    assert len(await stack.data_of("GET", "/workers", "tenant_admin")) == 1


async def test_a_bunker_is_its_owners_and_the_admins(stack: Stack, worker: SimulatedWorker) -> None:
    admins = str((await stack.create("tenant_admin"))["id"])
    users = str((await stack.create("user"))["id"])
    assert await stack.status(users, "tenant_admin") == "running"
    assert {b["id"] for b in await stack.data_of("GET", "/bunkers", "tenant_admin")} == {
        users,
        admins,
    }
    assert [b["id"] for b in await stack.data_of("GET", "/bunkers", "user")] == [users]
    await stack.data_of("POST", f"/bunkers/{users}/exec", "tenant_admin", json={"command": "x"})
    for response in await every_call(stack, admins, "user"):
        assert error_of(response) == (404, "BUNKER_NOT_FOUND")


async def test_another_tenant_finds_nothing(stack: Stack, worker: SimulatedWorker) -> None:
    bunker_id = str((await stack.create("user"))["id"])
    made = await stack.data_of("POST", f"/bunkers/{bunker_id}/exec", json={"command": "x"})
    assert await stack.data_of("GET", "/bunkers", "stranger") == []
    before = await stack.data_of("GET", f"/bunkers/{bunker_id}")
    for response in await every_call(stack, bunker_id, "stranger", made["exec_id"]):
        assert error_of(response) == (404, "BUNKER_NOT_FOUND"), response.request.url
    for query in ({"path": "not/absolute"}, {"path": "/"}, {"path": "/x", "mode": "worse"}):
        for method in ("GET", "PUT", "DELETE"):
            await stack.call(method, f"/bunkers/{bunker_id}/files", "stranger", params=query)
    after = await stack.data_of("GET", f"/bunkers/{bunker_id}")
    assert after["last_activity_at"] == before["last_activity_at"]
    await stack.data_of("GET", f"/bunkers/{bunker_id}/execs")  # writes what still waits
    async with stack.grid.database.read() as db:
        assert not await db.rows(whole(select(file_operations)))
    assert await stack.status(bunker_id) == "running"
    assert worker.removed == []


async def every_call(
    stack: Stack, bunker_id: str, who: str, exec_id: str = "exe_nope"
) -> list[Any]:
    """Every operation on that bunker, with a good request."""
    bodies: dict[str, dict[str, Any]] = {
        "exec": {"command": "x"},
        "signal": {"signal": "SIGTERM"},
        "stdin": {"data": "x"},
        "mkdir": {"path": "/x"},
        "move": {"source": "/x", "destination": "/y"},
        "snapshot": {"kind": "disk"},
    }
    responses = []
    for method, path, _ in operations(stack):
        if "{bunker_id}" not in path:
            continue
        url = path.replace("{bunker_id}", bunker_id).replace("{exec_id}", exec_id)
        body = bodies.get(path.rsplit("/", 1)[1])
        query = {"path": "/x"} if "/files" in path else {}
        responses.append(await stack.call(method, url, who, json=body, params=query))
    assert len(responses) == 23
    return responses


async def test_platform_images_are_for_every_tenant(stack: Stack) -> None:
    [image] = await stack.data_of("GET", "/images", "stranger")
    assert image["name"] == "debian-12"
    assert (image["scope"], image["tenant_id"], image["status"]) == ("platform", None, "ready")
    assert await stack.data_of("GET", f"/images/{image['id']}", "stranger") == image
    missing = await stack.call("GET", "/images/img_nope")
    assert error_of(missing) == (404, "IMAGE_NOT_FOUND")


async def test_a_key_is_made_used_and_revoked(bare: Stack) -> None:
    made = await bare.data_of("POST", "/v1/api-keys", json={"name": "ci"})
    key = made["key"]
    assert key.startswith("sgk_")
    assert len(key) >= 36
    assert made["prefix"] == key[:12]
    bare.keys = {**bare.keys, "ci": key}
    assert (await bare.data_of("GET", "/v1/me", "ci"))["name"] == "user"
    listed = await bare.data_of("GET", "/v1/api-keys")
    assert made["id"] in {k["id"] for k in listed}
    assert all("key" not in k for k in listed)
    revoked = await bare.data_of("DELETE", f"/v1/api-keys/{made['id']}")
    assert revoked["revoked_at"] is not None
    # At once, although it was recognised a moment ago.
    assert error_of(await bare.call("GET", "/v1/me", "ci")) == (401, "AUTH_TOKEN_INVALID")
    assert await bare.data_of("DELETE", f"/v1/api-keys/{made['id']}") == revoked


async def test_nobody_sees_or_revokes_anothers_keys(bare: Stack) -> None:
    made = await bare.data_of("POST", "/v1/api-keys", "super_admin", json={"name": "root"})
    for who in ("user", "stranger", "tenant_admin"):
        ids = {k["id"] for k in await bare.data_of("GET", "/v1/api-keys", who)}
        assert made["id"] not in ids
        response = await bare.call("DELETE", f"/v1/api-keys/{made['id']}", who)
        assert error_of(response) == (404, "NOT_FOUND")


async def test_an_expired_key_is_invalid(bare: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = await bare.data_of(
        "POST", "/v1/api-keys", json={"name": "brief", "expires_at": soon.isoformat()}
    )
    bare.keys = {**bare.keys, "brief": made["key"]}
    assert (await bare.call("GET", "/v1/me", "brief")).status_code == 200
    monkeypatch.setattr(SystemClock, "now", lambda _: soon)
    assert error_of(await bare.call("GET", "/v1/me", "brief")) == (401, "AUTH_TOKEN_INVALID")
    past = {"name": "late", "expires_at": "2020-01-01T00:00:00Z"}
    response = await bare.call("POST", "/v1/api-keys", json=past)
    assert error_of(response) == (422, "VALIDATION_ERROR")


async def test_the_database_has_no_secret(bare: Stack) -> None:
    made = await bare.data_of(
        "POST",
        "/v1/api-keys",
        json={"name": "ci"},
        headers={"Idempotency-Key": secrets.token_hex(8)},
    )
    await bare.stop()
    content = b"".join(path.read_bytes() for path in bare.data.glob("grid.db*"))
    keys = [key for key in bare.keys.values() if key.startswith("sgk_")]
    for secret in (made["key"], *keys):
        assert secret.encode() not in content
        assert secret[12:].encode() not in content


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        (None, "AUTH_TOKEN_MISSING"),
        ("wrong-token-wrong-token", "SERVICE_TOKEN_INVALID"),
        ("user", "SERVICE_TOKEN_INVALID"),
    ],
)
async def test_heartbeats_need_the_service_token(
    bare: Stack, worker: SimulatedWorker, credential: str | None, code: str
) -> None:
    headers = {}
    if credential:
        headers["Authorization"] = f"Bearer {bare.keys.get(credential, credential)}"
    response = await bare.call(
        "POST",
        "/heartbeat",
        None,
        headers=headers,
        content=worker.heartbeat().model_dump_json(),
    )
    assert error_of(response) == (401, code)
    assert await bare.data_of("GET", "/workers", "super_admin") == []


async def test_the_service_token_is_no_api_key(bare: Stack, worker: SimulatedWorker) -> None:
    response = await bare.call(
        "GET", "/v1/me", None, headers={"Authorization": f"Bearer {worker.token}"}
    )
    assert error_of(response) == (401, "AUTH_TOKEN_INVALID")


async def test_unknown_routes_and_methods_answer_in_the_envelope(bare: Stack) -> None:
    assert error_of(await bare.call("GET", "/nowhere")) == (404, "NOT_FOUND")
    assert error_of(await bare.call("GET", "/bunkers/")) == (404, "NOT_FOUND")
    response = await bare.call("PATCH", "/bunkers")
    assert error_of(response) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, POST"


async def test_health_needs_no_credential(bare: Stack) -> None:
    for path in ("/health", "/health/ready"):
        response = await bare.call("GET", path, None)
        assert response.status_code == 200
        assert response.json()["data"] == {"health": "ok"}
        assert response.headers["x-request-id"].startswith("req_")
