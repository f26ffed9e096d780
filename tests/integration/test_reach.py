"""How far administrators reach, and whom they cannot touch."""

import asyncio

import pytest
from sqlalchemy import select

from scaibunker.controller.relay.tables import file_operations
from tests.integration.inside import whole
from tests.integration.people import id_of, tenant, tenant_of, user
from tests.integration.simulated_worker import TOKEN, SimulatedWorker
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

DENIED = (403, "AUTHZ_PERMISSION_DENIED")
NOT_THERE = (404, "BUNKER_NOT_FOUND")
SUSPENDED = {"status": "suspended"}


async def partner(stack: Stack, name: str) -> str:
    made = await stack.data_of("POST", "/v1/partners", "super_admin", json={"name": name})
    return str(made["id"])


async def test_a_partner_admin_reaches_bunkers_of_its_partners_tenants(
    stack: Stack, worker: SimulatedWorker
) -> None:
    home = await tenant(stack, "home", partner_id=await partner(stack, "mine"))
    await user(stack, "pat", "partner_admin", tenant_id=home)
    customer = await tenant(stack, "customer", "pat")
    await user(stack, "cora", "tenant_admin", who="pat", tenant_id=customer)
    bunker = str((await stack.create("cora"))["id"])
    assert await stack.status(bunker, "pat") == "running"
    assert [b["id"] for b in await stack.data_of("GET", "/bunkers", "pat")] == [bunker]
    assert (await stack.create("pat"))["tenant_id"] == home  # made in its own, as everything is
    strangers = str((await stack.create("stranger"))["id"])
    assert error_of(await stack.call("GET", f"/bunkers/{strangers}", "pat")) == NOT_THERE

    # What it does there is the tenant's to read.
    made = await stack.data_of("POST", f"/bunkers/{bunker}/exec", "pat", json={"command": "x"})
    [entry] = await stack.data_of("GET", f"/bunkers/{bunker}/execs", "cora")
    assert entry["exec_id"] == made["exec_id"]
    await stack.call("GET", f"/bunkers/{bunker}/files/list", "pat", params={"path": "/"})

    async def logged() -> bool:
        async with stack.grid.database.read() as db:
            owners = await db.values(whole(select(file_operations.c.tenant_id)))
        return list(owners) == [customer]

    await until(logged)
    # Taken from the partner, the tenant is out of reach at once.
    path = f"/v1/tenants/{customer}"
    await stack.data_of("PATCH", path, "super_admin", json={"partner_id": None})
    assert error_of(await stack.call("GET", path, "pat")) == (404, "TENANT_NOT_FOUND")
    assert error_of(await stack.call("GET", f"/bunkers/{bunker}", "pat")) == NOT_THERE


async def test_a_tenant_is_not_shut_by_somebody_below_its_users(bare: Stack) -> None:
    mine = await partner(bare, "mine")
    home = await tenant(bare, "home", partner_id=mine)
    other = await tenant(bare, "other", partner_id=mine)
    await user(bare, "pat", "partner_admin", tenant_id=home)
    root = await user(bare, "root", "super_admin", tenant_id=other)
    path = f"/v1/tenants/{other}"
    assert error_of(await bare.call("PATCH", path, "pat", json=SUSPENDED)) == DENIED
    assert (await bare.call("GET", "/v1/me", "root")).status_code == 200
    await bare.data_of("DELETE", f"/v1/users/{root}", "super_admin")
    await bare.data_of("PATCH", path, "pat", json=SUSPENDED)


async def test_two_super_admins_do_not_shut_each_other_out(bare: Stack) -> None:
    own, elsewhere = await tenant_of(bare, "super_admin"), await tenant_of(bare, "stranger")
    await user(bare, "second", "super_admin", tenant_id=elsewhere)
    answers = await asyncio.gather(
        bare.call("PATCH", f"/v1/tenants/{elsewhere}", "super_admin", json=SUSPENDED),
        bare.call("PATCH", f"/v1/tenants/{own}", "second", json=SUSPENDED),
    )
    # The loser is too late: the last one who is let in, or not let in itself any more.
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])
    left = "super_admin" if answers[0].status_code == 200 else "second"
    assert (await bare.call("GET", "/v1/me", left)).status_code == 200


async def test_a_super_admin_who_is_shut_out_does_not_count(bare: Stack) -> None:
    elsewhere, chief = await tenant_of(bare, "stranger"), await id_of(bare, "super_admin")
    second = await user(bare, "second", "super_admin", tenant_id=elsewhere)
    third = await user(bare, "third", "super_admin")
    await bare.data_of("PATCH", f"/v1/tenants/{elsewhere}", "super_admin", json=SUSPENDED)
    assert error_of(await bare.call("GET", "/v1/me", "second")) == (403, "TENANT_SUSPENDED")
    demoted = {"role": "tenant_user"}
    answers = await asyncio.gather(
        bare.call("PATCH", f"/v1/users/{third}", "super_admin", json=demoted),
        bare.call("PATCH", f"/v1/users/{chief}", "third", json=demoted),
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])
    left = "super_admin" if answers[0].status_code == 200 else "third"
    # One who is shut out can go at any time: nobody depended on it.
    await bare.data_of("PATCH", f"/v1/users/{second}", left, json=demoted)


async def test_subjects_are_for_super_admins_to_say(bare: Stack) -> None:
    own = await id_of(bare, "user")
    path, claimed = f"/v1/users/{own}", {"subject": "somebody@example.com"}
    await bare.data_of("PATCH", path, "super_admin", json=claimed)
    # Taken or not: a tenant's administrator hears the same.
    for subject in ("somebody@example.com", "nobody@example.com"):
        body = {"name": "x", "subject": subject}
        assert error_of(await bare.call("POST", "/v1/users", "stranger", json=body)) == DENIED
        response = await bare.call("PATCH", path, "tenant_admin", json={"subject": subject})
        assert error_of(response) == DENIED


async def test_keys_of_those_above_are_not_seen(bare: Stack) -> None:
    chief = {"user_id": await id_of(bare, "super_admin")}
    assert await bare.data_of("GET", "/v1/api-keys", "tenant_admin", params=chief) == []
    assert len(await bare.data_of("GET", "/v1/api-keys", "super_admin", params=chief)) == 1


class TestWorkerTokens:
    """While a token is replaced, the old and the new one are good."""

    @pytest.fixture
    def knobs(self) -> Knobs:
        return Knobs(worker_token=f"a-newer-token-for-workers, {TOKEN}")

    async def test_any_is_accepted_and_the_first_is_shown(
        self, bare: Stack, worker: SimulatedWorker
    ) -> None:
        await worker.beat(bare.client)
        assert len(await bare.data_of("GET", "/workers", "super_admin")) == 1
        report = worker.heartbeat().model_dump_json()
        for token, status in (
            ("a-newer-token-for-workers", 200),
            (f"a-newer-token-for-workers, {TOKEN}", 401),
            ("a-newer-token-for-worker", 401),
            (",", 401),
        ):
            response = await bare.call(
                "POST",
                "/heartbeat",
                None,
                headers={"Authorization": f"Bearer {token}"},
                content=report,
            )
            assert response.status_code == status, token
        worker.token = "a-newer-token-for-workers"
        assert (await bare.create("user"))["status"] == "running"
