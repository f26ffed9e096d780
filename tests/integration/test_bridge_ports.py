"""Bunkers on bridges: which are found, where they run, what addresses they have, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.people import tenant, user
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Stack, error_of, fields_of
from tests.waiting import until

ROOT = "super_admin"


@pytest.fixture
async def stack(stack: Stack, worker: SimulatedWorker) -> Stack:
    worker.network_profiles.append("transit")
    await worker.beat(stack.client)
    return stack


@pytest.fixture
async def other(stack: Stack) -> AsyncIterator[SimulatedWorker]:
    """A second worker, with more room than the first."""
    made = SimulatedWorker("wrk_other")
    made.network_profiles.append("transit")
    made.capacity = made.capacity.model_copy(update={"memory_mb": 65_536})
    await made.start()
    await made.beat(stack.client)
    yield made
    await made.stop()


async def bridge(
    stack: Stack, name: str = "lan", worker_id: str = "wrk_sim", who: str = ROOT
) -> str:
    body = {"name": name, "worker_id": worker_id}
    return str((await stack.data_of("POST", "/bridges", who, json=body))["id"])


def transit(*interfaces: dict[str, Any]) -> dict[str, Any]:
    return {"image": "debian-12", "network_profile": "transit", "interfaces": list(interfaces)}


def on(name: str = "lan", if_name: str = "eth0", **more: Any) -> dict[str, Any]:
    return {"if_name": if_name, "bridge_name": name, **more}


async def create(stack: Stack, *interfaces: dict[str, Any], who: str = ROOT) -> dict[str, Any]:
    made: dict[str, Any] = await stack.data_of("POST", "/bunkers", who, json=transit(*interfaces))
    return made


async def refused(stack: Stack, *interfaces: dict[str, Any], who: str = ROOT) -> Any:
    return await stack.call("POST", "/bunkers", who, json=transit(*interfaces))


async def end(stack: Stack, bunker_id: str) -> None:
    await stack.data_of("DELETE", f"/bunkers/{bunker_id}", ROOT)
    await until(lambda: _has_ended(stack, bunker_id))


async def _has_ended(stack: Stack, bunker_id: str) -> bool:
    return await stack.status(bunker_id, ROOT) == "terminated"


async def test_the_worker_is_ordered_what_the_record_says(
    stack: Stack, worker: SimulatedWorker
) -> None:
    lan, wan = await bridge(stack), await bridge(stack, "wan")
    given = on("wan", "eth1", spoof_guard=False, mac="02:AA:00:00:00:01")
    made = await create(stack, on(), given)
    await until(lambda: made["id"] in worker.machines)
    ordered = worker.machines[made["id"]].spec.network
    assert ordered is not None
    first, second = ordered.interfaces
    assert [each.bridge_id for each in ordered.interfaces] == [lan, wan]
    assert (second.mac, second.spoof_guard) == ("02:aa:00:00:00:01", False)
    assert int(first.mac[:2], 16) & 3 == 2  # of one interface, given out locally
    assert first.spoof_guard
    assert made["interfaces"] == [
        {"if_name": "eth0", "bridge_name": "lan", "spoof_guard": True, "mac": first.mac},
        {"if_name": "eth1", "bridge_name": "wan", "spoof_guard": False, "mac": second.mac},
    ]


async def test_it_runs_where_its_bridges_are(
    stack: Stack, worker: SimulatedWorker, other: SimulatedWorker
) -> None:
    await bridge(stack)
    for _ in range(3):
        assert (await create(stack, on()))["worker_id"] == worker.worker_id
    made = await stack.data_of("POST", "/bunkers", ROOT, json={"image": "debian-12"})
    assert made["worker_id"] == other.worker_id  # which is the emptier one


async def test_a_worker_without_room_is_not_replaced_by_another(
    stack: Stack, worker: SimulatedWorker, other: SimulatedWorker
) -> None:
    await bridge(stack)
    body = transit(on()) | {"memory_mb": 32_768}
    response = await stack.call("POST", "/bunkers", ROOT, json=body)
    assert error_of(response) == (503, "WORKER_UNAVAILABLE")
    await stack.data_of("POST", f"/workers/{worker.worker_id}/drain", ROOT)
    response = await refused(stack, on())
    assert error_of(response) == (503, "WORKER_UNAVAILABLE")
    assert "owns the bridges" in response.json()["error"]["message"]


async def test_a_worker_that_cannot_build_it_is_not_replaced_by_another(
    stack: Stack, worker: SimulatedWorker, other: SimulatedWorker
) -> None:
    await bridge(stack)
    worker.boot = "failed"
    made = await create(stack, on())
    await worker.beat(stack.client)

    async def has_failed() -> bool:
        return await stack.status(made["id"], ROOT) == "failed"

    await until(has_failed)
    assert made["id"] not in other.built


async def test_bridges_of_two_workers_have_none_in_common(
    stack: Stack, other: SimulatedWorker
) -> None:
    await bridge(stack)
    await bridge(stack, "wan", other.worker_id)
    response = await refused(stack, on(), on("wan", "eth1"))
    assert error_of(response) == (503, "NO_SUITABLE_WORKER")
    assert fields_of(response) == ["interfaces.0.bridge_name", "interfaces.1.bridge_name"]


async def test_bridges_are_of_the_own_tenant(stack: Stack) -> None:
    await bridge(stack, "theirs", who="stranger")
    for who in (ROOT, "tenant_admin"):  # however far the caller reaches
        response = await refused(stack, on("theirs"), who=who)
        assert error_of(response) == (404, "BRIDGE_NOT_FOUND")
        assert fields_of(response) == ["interfaces.0.bridge_name"]
    await bridge(stack)
    response = await refused(stack, on(), on("nosuch", "eth1"))
    assert error_of(response) == (404, "BRIDGE_NOT_FOUND")
    assert fields_of(response) == ["interfaces.1.bridge_name"]


async def test_who_administers_nothing_uses_the_bridges_of_its_tenant(stack: Stack) -> None:
    home = await tenant(stack, "home")
    await user(stack, "chief", "tenant_admin", tenant_id=home)
    person = await user(stack, "coder", "tenant_user", tenant_id=home)
    keys = {"permissions": ["scaibunker:create", "scaibunker:network:transit"]}
    await stack.data_of("PUT", f"/v1/users/{person}/permissions", ROOT, json=keys)
    await bridge(stack, who="chief")
    made = await create(stack, on(), who="coder")
    assert made["interfaces"][0]["bridge_name"] == "lan"
    assert error_of(await stack.call("GET", "/bridges", "coder")) == (
        403,
        "AUTHZ_PERMISSION_DENIED",
    )
    unguarded = await refused(stack, on(spoof_guard=False), who="coder")
    assert error_of(unguarded) == (403, "L2_TRANSPARENCY_DENIED")


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
async def test_an_address_is_that_of_one_interface(stack: Stack, mac: str) -> None:
    await bridge(stack)
    response = await refused(stack, on(mac=mac))
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == ["interfaces.0.mac"]


async def test_an_address_is_on_a_bridge_once_among_those_that_live(stack: Stack) -> None:
    await bridge(stack)
    await bridge(stack, "wan")
    mac = "02:00:00:00:00:07"
    made = await create(stack, on(mac=mac))
    response = await refused(stack, on("wan", mac=mac.upper()), on("lan", "eth1", mac=mac))
    assert error_of(response) == (422, "VALIDATION_ERROR")  # twice in one request
    response = await refused(stack, on(mac=mac.upper()))
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == ["interfaces.0.mac"]
    await create(stack, on("wan", mac=mac))
    await end(stack, made["id"])
    await create(stack, on(mac=mac))


async def test_two_creates_at_once_do_not_get_one_address(stack: Stack) -> None:
    await bridge(stack)
    mac = "02:00:00:00:00:07"
    answers = await asyncio.gather(*(refused(stack, on(mac=mac)) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422, 422]


async def test_a_bridge_is_in_use_until_its_bunkers_have_ended(stack: Stack) -> None:
    bridge_id = await bridge(stack)
    made = await create(stack, on())
    response = await stack.call("DELETE", f"/bridges/{bridge_id}", ROOT)
    assert error_of(response) == (409, "BRIDGE_IN_USE")
    assert [d["bunker_id"] for d in response.json()["error"]["details"]] == [made["id"]]
    await end(stack, made["id"])
    await stack.data_of("DELETE", f"/bridges/{bridge_id}", ROOT)
    response = await refused(stack, on())
    assert error_of(response) == (404, "BRIDGE_NOT_FOUND")


async def test_a_create_that_races_a_delete_has_a_bridge_or_none(
    stack: Stack, worker: SimulatedWorker
) -> None:
    for attempt in range(6):
        bridge_id = await bridge(stack, f"lan{attempt}")
        created, deleted = await asyncio.gather(
            refused(stack, on(f"lan{attempt}")),
            stack.call("DELETE", f"/bridges/{bridge_id}", ROOT),
        )
        if created.status_code == 201:
            assert error_of(deleted) == (409, "BRIDGE_IN_USE")
            assert bridge_id in worker.bridges.known
            await end(stack, created.json()["data"]["id"])
        else:
            assert error_of(created) == (404, "BRIDGE_NOT_FOUND")
            assert deleted.status_code == 200


async def test_nobody_is_plugged_into_a_bridge_that_is_being_deleted(
    stack: Stack, worker: SimulatedWorker
) -> None:
    bridge_id = await bridge(stack)
    worker.bridges.in_use.add(bridge_id)
    await stack.data_of("DELETE", f"/bridges/{bridge_id}", ROOT)
    response = await refused(stack, on())
    assert error_of(response) == (404, "BRIDGE_NOT_FOUND")


async def test_draining_passivates_no_bunker_on_a_bridge(
    stack: Stack, worker: SimulatedWorker
) -> None:
    await bridge(stack)
    body = transit(on()) | {"lifecycle_mode": "persistent"}
    made = await stack.data_of("POST", "/bunkers", ROOT, json=body)
    plain = await stack.data_of(
        "POST", "/bunkers", ROOT, json={"image": "debian-12", "lifecycle_mode": "persistent"}
    )

    async def both_run() -> bool:
        await worker.beat(stack.client)
        return [await stack.status(each["id"], ROOT) for each in (made, plain)] == ["running"] * 2

    await until(both_run)
    await stack.data_of(
        "POST", f"/workers/{worker.worker_id}/drain", ROOT, json={"passivate": True}
    )

    async def sleeps() -> bool:
        await worker.beat(stack.client)
        return bool((await stack.data_of("GET", f"/bunkers/{plain['id']}", ROOT))["passivated"])

    await until(sleeps)
    record = await stack.data_of("GET", f"/bunkers/{made['id']}", ROOT)
    assert (record["status"], record["passivated"]) == ("running", False)


async def test_a_copy_with_memory_is_not_restored_onto_bridges(
    stack: Stack, worker: SimulatedWorker
) -> None:
    await bridge(stack)
    made = await create(stack, on())

    async def runs() -> bool:
        await worker.beat(stack.client)
        return await stack.status(made["id"], ROOT) == "running"

    await until(runs)
    path = f"/bunkers/{made['id']}/snapshot"
    snapshot = await stack.data_of("POST", path, ROOT, json={"kind": "full"})

    async def ready() -> bool:
        await worker.beat(stack.client)
        found = await stack.data_of("GET", f"/snapshots/{snapshot['id']}", ROOT)
        return bool(found["status"] == "ready")

    await until(ready)
    body = {"snapshot_id": snapshot["id"], "network_profile": "transit", "interfaces": [on()]}
    response = await stack.call("POST", "/bunkers", ROOT, json=body)
    assert error_of(response) == (422, "VALIDATION_ERROR")
    assert fields_of(response) == ["snapshot_kind"]
    body["snapshot_kind"] = "disk"
    assert (await stack.data_of("POST", "/bunkers", ROOT, json=body))["snapshot_id"]
