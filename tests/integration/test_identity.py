"""Partners, tenants, users, their keys and their modules: who may do what to whom."""

import asyncio
import json
from typing import Any

import pytest

from scaigrid.http.paging import wrap
from scaigrid.settings import RedisSettings
from tests.integration.conftest import Template
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of, fields_of
from tests.integration.stores import ONE_DATABASE
from tests.waiting import until

TENANTS, USERS, KEYS = "/v1/tenants", "/v1/users", "/v1/api-keys"


class People:
    """Tenants and users made through the API; each user can be called by its name."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ids: dict[str, str] = {}

    async def tenant(self, name: str, **fields: Any) -> str:
        body = {"name": name, **fields}
        made = await self.stack.data_of("POST", TENANTS, "super_admin", json=body)
        return str(made["id"])

    async def user(
        self, name: str, role: str, tenant: str | None = None, by: str = "super_admin"
    ) -> str:
        body = {"name": name, "role": role, **({"tenant_id": tenant} if tenant else {})}
        made = await self.stack.data_of("POST", USERS, by, json=body)
        self.ids[name] = str(made["id"])
        key = {"name": "t", "user_id": made["id"]}
        secret = (await self.stack.data_of("POST", KEYS, by, json=key))["key"]
        self.stack.keys = {**self.stack.keys, name: secret}
        return self.ids[name]

    async def id_of(self, who: str) -> str:
        return str((await self.stack.data_of("GET", "/v1/me", who))["user_id"])


@pytest.fixture
def people(bare: Stack) -> People:
    return People(bare)


async def test_from_a_tenant_to_a_caller_in_it(bare: Stack, people: People) -> None:
    tenant = await people.tenant("acme")
    await people.user("ann", "tenant_admin", tenant)
    me = await bare.data_of("GET", "/v1/me", "ann")
    assert (me["tenant_id"], me["role"]) == (tenant, "tenant_admin")
    await people.user("bob", "tenant_user", by="ann")
    assert (await bare.data_of("GET", "/v1/me", "bob"))["tenant_id"] == tenant
    listed = await bare.data_of("GET", USERS, "ann")
    assert [user["name"] for user in listed] == ["bob", "ann"]
    assert [t["name"] for t in await bare.data_of("GET", TENANTS, "ann")] == ["acme"]
    assert len(await bare.data_of("GET", TENANTS, "super_admin")) == 3
    found = await bare.data_of("GET", USERS, "ann", params={"name": "bob", "role": "tenant_user"})
    assert [user["id"] for user in found] == [people.ids["bob"]]


async def test_another_tenant_looks_like_none(bare: Stack, people: People) -> None:
    tenant = await people.tenant("acme")
    ann = await people.user("ann", "tenant_user", tenant)
    for method, path, body in (
        ("GET", f"{USERS}/{ann}", None),
        ("PATCH", f"{USERS}/{ann}", {"name": "x"}),
        ("DELETE", f"{USERS}/{ann}", None),
        ("GET", f"{TENANTS}/{tenant}", None),
        ("POST", USERS, {"name": "x", "tenant_id": tenant}),
        ("POST", KEYS, {"name": "x", "user_id": ann}),
        ("POST", f"/v1/modules/scaibunker/disable?tenant_id={tenant}", None),
    ):
        foreign = await bare.call(method, path, "stranger", json=body)
        nothing = str(body).replace(tenant, "ten_none").replace(ann, "usr_none")
        missing = await bare.call(
            method,
            path.replace(tenant, "ten_none").replace(ann, "usr_none"),
            "stranger",
            json=None if body is None else eval(nothing),  # noqa: S307 - our own literal
        )
        assert foreign.status_code == missing.status_code == 404, (method, path)
        assert foreign.json()["error"] == missing.json()["error"]
    assert await bare.data_of("GET", KEYS, "stranger", params={"user_id": ann}) == []


async def test_partner_admins_reach_their_partners_tenants(bare: Stack, people: People) -> None:
    partner = (await bare.data_of("POST", "/v1/partners", "super_admin", json={"name": "p"}))["id"]
    home = await people.tenant("home", partner_id=partner)
    await people.tenant("other", partner_id=None)
    await people.user("pat", "partner_admin", home)
    made = await bare.data_of("POST", TENANTS, "pat", json={"name": "theirs"})
    assert made["partner_id"] == partner
    await people.user("ann", "tenant_admin", made["id"], by="pat")
    assert {t["name"] for t in await bare.data_of("GET", TENANTS, "pat")} == {"home", "theirs"}
    suspended = {"status": "suspended"}
    answer = await bare.call("PATCH", f"{TENANTS}/{made['id']}", "ann", json=suspended)
    assert error_of(answer) == (403, "AUTHZ_PERMISSION_DENIED")
    await bare.data_of("PATCH", f"{TENANTS}/{made['id']}", "pat", json=suspended)
    assert error_of(await bare.call("GET", "/v1/me", "ann")) == (403, "TENANT_SUSPENDED")
    elsewhere = {"name": "x", "partner_id": "ptn_other"}
    answer = await bare.call("POST", TENANTS, "pat", json=elsewhere)
    assert error_of(answer) == (403, "AUTHZ_PERMISSION_DENIED")
    answer = await bare.call("PATCH", f"{TENANTS}/{home}", "pat", json={"partner_id": None})
    assert error_of(answer) == (403, "AUTHZ_PERMISSION_DENIED")
    for method, path in (("GET", "/v1/partners"), ("GET", f"/v1/partners/{partner}")):
        assert error_of(await bare.call(method, path, "pat"))[0] == 403


async def test_a_suspended_tenant_is_shut_out_and_let_in_again(bare: Stack, people: People) -> None:
    tenant = await people.tenant("acme")
    await people.user("ann", "tenant_admin", tenant)
    assert (await bare.call("GET", "/v1/me", "ann")).status_code == 200
    for status, answer in (("suspended", 403), ("active", 200)):
        path = f"{TENANTS}/{tenant}"
        await bare.data_of("PATCH", path, "super_admin", json={"status": status})
        for method, url in (("GET", "/v1/me"), ("GET", "/bunkers"), ("GET", KEYS)):
            assert (await bare.call(method, url, "ann")).status_code == answer
    own = (await bare.data_of("GET", "/v1/me", "super_admin"))["tenant_id"]
    refused = await bare.call(
        "PATCH", f"{TENANTS}/{own}", "super_admin", json={"status": "suspended"}
    )
    assert fields_of(refused) == ["status"]


async def test_nobody_becomes_more_than_it_is(bare: Stack, people: People) -> None:
    admin, chief = await people.id_of("tenant_admin"), await people.id_of("super_admin")
    user = await people.id_of("user")
    denied = (403, "AUTHZ_PERMISSION_DENIED")
    for method, path, body in (
        ("POST", USERS, {"name": "x", "role": "super_admin"}),
        ("POST", USERS, {"name": "x", "role": "partner_admin"}),
        ("PATCH", f"{USERS}/{user}", {"role": "super_admin"}),
        ("PATCH", f"{USERS}/{chief}", {"name": "x"}),
        ("DELETE", f"{USERS}/{chief}", None),
        ("POST", KEYS, {"name": "x", "user_id": chief}),
    ):
        answer = await bare.call(method, path, "tenant_admin", json=body)
        assert error_of(answer) == denied, (method, path)
    [key] = await bare.data_of("GET", KEYS, "super_admin")
    answer = await bare.call("DELETE", f"{KEYS}/{key['id']}", "tenant_admin")
    assert error_of(answer) == (404, "NOT_FOUND")
    for change in ({"role": "tenant_user"}, {"status": "disabled"}):
        answer = await bare.call("PATCH", f"{USERS}/{admin}", "tenant_admin", json=change)
        assert answer.status_code == 422
    for who in ("user", "viewer"):
        assert error_of(await bare.call("GET", USERS, who)) == denied
        assert (await bare.call("GET", f"{USERS}/{admin}", who)).status_code == 404
        own = await people.id_of(who)
        assert (await bare.data_of("GET", f"{USERS}/{own}", who))["name"] == who


async def test_the_last_super_admin_stays(bare: Stack, people: People) -> None:
    chief = await people.id_of("super_admin")
    second = await people.user("second", "super_admin")
    demoted = {"role": "tenant_user"}
    answers = await asyncio.gather(
        bare.call("PATCH", f"{USERS}/{second}", "super_admin", json=demoted),
        bare.call("PATCH", f"{USERS}/{chief}", "second", json=demoted),
    )
    # One of them wins, and the loser is refused: as no super-admin any more, or as the last one.
    assert sorted(a.status_code for a in answers) in ([200, 403], [200, 409]), answers
    left = [
        who
        for who in ("super_admin", "second")
        if (await bare.data_of("GET", "/v1/me", who))["role"] == "super_admin"
    ]
    assert len(left) == 1


async def test_a_change_holds_from_the_next_request_on(bare: Stack, people: People) -> None:
    ann = await people.user("ann", "tenant_admin")
    assert (await bare.call("GET", USERS, "ann")).status_code == 200
    await bare.data_of("PATCH", f"{USERS}/{ann}", "super_admin", json={"role": "tenant_viewer"})
    assert (await bare.call("GET", USERS, "ann")).status_code == 403
    await bare.data_of("PATCH", f"{USERS}/{ann}", "super_admin", json={"status": "disabled"})
    assert error_of(await bare.call("GET", "/v1/me", "ann")) == (403, "USER_DISABLED")
    await bare.data_of("PATCH", f"{USERS}/{ann}", "super_admin", json={"status": "active"})
    assert (await bare.call("GET", "/v1/me", "ann")).status_code == 200
    ended = await bare.data_of("DELETE", f"{USERS}/{ann}", "super_admin")
    assert ended["status"] == "disabled"
    assert error_of(await bare.call("GET", "/v1/me", "ann")) == (401, "AUTH_TOKEN_INVALID")


async def test_names_and_subjects_are_taken_once(bare: Stack, people: People) -> None:
    tenant = await people.tenant("acme")
    conflict = (409, "NAME_CONFLICT")
    answer = await bare.call("POST", TENANTS, "super_admin", json={"name": "acme"})
    assert error_of(answer) == conflict
    await people.user("ann", "tenant_user", tenant)
    body = {"name": "ann", "tenant_id": tenant}
    assert error_of(await bare.call("POST", USERS, "super_admin", json=body)) == conflict
    await bare.data_of("POST", USERS, "super_admin", json={**body, "name": "Ann", "subject": "s"})
    again = {**body, "name": "bea", "subject": "s"}
    assert error_of(await bare.call("POST", USERS, "super_admin", json=again)) == conflict
    answer = await bare.call(
        "PATCH", f"{USERS}/{people.ids['ann']}", "super_admin", json={"subject": "s"}
    )
    assert error_of(answer) == conflict


@ONE_DATABASE
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (USERS, {"name": " x"}, "name"),
        (USERS, {"name": "x" * 129}, "name"),
        (USERS, {"name": "x", "role": "root"}, "role"),
        (USERS, {"name": "x", "extra": 1}, "extra"),
        (USERS, {}, "name"),
        (TENANTS, {"name": "a\nb"}, "name"),
        (TENANTS, {"name": None}, "name"),
        (KEYS, {"name": "x", "user_id": ""}, "user_id"),
        (KEYS, {"name": "a\nb"}, "name"),
        (KEYS, {"name": "\u202ex"}, "name"),
    ],
)
async def test_bad_input_names_the_field(
    bare: Stack, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await bare.call("POST", path, "super_admin", json=body)
    assert error_of(answer) == (422, "VALIDATION_ERROR")
    assert fields_of(answer) == [field]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_times_at_the_ends_of_the_calendar_break_nothing(bare: Stack, at: str) -> None:
    cursor = wrap(json.dumps([at, "usr_1"]))
    for path in (USERS, TENANTS, KEYS, "/bunkers"):
        answer = await bare.call("GET", path, "super_admin", params={"cursor": cursor})
        assert answer.status_code == 200, answer.text
    asked = {"since": at, "until": at}
    answer = await bare.call("GET", "/v1/audit-log", "super_admin", params=asked)
    assert answer.status_code == 200
    answer = await bare.call("POST", KEYS, "user", json={"name": "k", "expires_at": at})
    assert answer.status_code == (422 if at.startswith("0001") else 201)


async def test_a_repeated_creation_makes_one(bare: Stack) -> None:
    for path, body in ((TENANTS, {"name": "n"}), (USERS, {"name": "n"})):
        key = {"Idempotency-Key": path}
        made = [
            await bare.data_of("POST", path, "super_admin", json=body, headers=key)
            for _ in range(2)
        ]
        assert made[0] == made[1]


async def test_a_module_is_taken_away_and_given_back(stack: Stack, worker: SimulatedWorker) -> None:
    [module] = await stack.data_of("GET", "/v1/modules", "user")
    assert (module["id"], module["enabled"]) == ("scaibunker", True)
    bunker = (await stack.create("user"))["id"]
    path = "/v1/modules/scaibunker"
    off = await stack.data_of("POST", f"{path}/disable", "tenant_admin")
    assert off["enabled"] is False
    for method, url in (("GET", "/bunkers"), ("GET", f"/bunkers/{bunker}"), ("POST", "/bunkers")):
        for who in ("user", "super_admin"):
            answer = await stack.call(method, url, who, json={"image": "debian-12"})
            assert error_of(answer) == (403, "MODULE_NOT_ENABLED")
    assert (await stack.call("GET", "/bunkers", "stranger")).status_code == 200
    assert (await stack.call("GET", "/v1/me", "user")).status_code == 200
    await worker.beat(stack.client)  # the workers go on
    await stack.data_of("POST", f"{path}/enable", "tenant_admin")
    assert await stack.status(bunker) == "running"
    answer = await stack.call("POST", f"{path}/enable", "user")
    assert error_of(answer) == (403, "AUTHZ_PERMISSION_DENIED")
    answer = await stack.call("POST", "/v1/modules/nope/enable", "tenant_admin")
    assert error_of(answer) == (404, "MODULE_NOT_FOUND")


async def test_super_admins_reach_bunkers_of_every_tenant_and_use_their_own_images(
    stack: Stack,
) -> None:
    theirs = (await stack.create("stranger"))["id"]
    assert await stack.status(theirs, "super_admin") == "running"
    assert error_of(await stack.call("GET", f"/bunkers/{theirs}", "tenant_admin"))[0] == 404
    listed = await stack.data_of("GET", "/bunkers", "super_admin")
    assert [b["id"] for b in listed] == [theirs]


async def test_another_replica_forgets_at_once(
    bare: Stack, template: Template, redis_settings: RedisSettings, people: People
) -> None:
    replica = Stack(
        bare.data, bare.database_settings, redis_settings, bare.keys, Knobs(auth_cache_ttl_s=60)
    )
    await replica.start()
    try:
        ann = await people.user("ann", "tenant_user")
        replica.keys = bare.keys
        assert (await replica.call("GET", "/v1/me", "ann")).status_code == 200
        await bare.data_of("PATCH", f"{USERS}/{ann}", "super_admin", json={"status": "disabled"})

        async def shut_out() -> bool:
            return (await replica.call("GET", "/v1/me", "ann")).status_code == 403

        await until(shut_out, 20)  # sooner than what it remembers would have expired
    finally:
        await replica.stop()
