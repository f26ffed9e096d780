"""Bridges between a controller and real worker daemons, on simulated hosts that die and come back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scaibunker.testing.host import SimulatedHost
from tests.integration.simulated_worker import IMAGE, TOKEN
from tests.integration.stack import Knobs, Stack, error_of
from tests.waiting import until

ROOT = "super_admin"
INTERVAL_S = 0.5


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=INTERVAL_S, request_timeout_s=1.5, order_timeout_s=2.5)


@pytest.fixture
async def hosts(bare: Stack, tmp_path: Path) -> AsyncIterator[list[SimulatedHost]]:
    made = [
        SimulatedHost(
            tmp_path / "hosts",
            name,
            controller_url=str(bare.client.base_url),
            token=TOKEN,
            images={IMAGE: 1 << 30},
            heartbeat_interval_s=INTERVAL_S,
            network_profiles=("isolated", "transit"),
        )
        for name in ("one", "two")
    ]
    await asyncio.gather(*(host.start() for host in made))

    async def all_online() -> bool:
        return len(await bare.data_of("GET", "/workers", ROOT)) == len(made)

    await until(all_online)
    try:
        yield made
    finally:
        await asyncio.gather(*(host.close() for host in made))


async def bridge(stack: Stack, host: SimulatedHost, name: str = "lan") -> dict[str, Any]:
    body = {"name": name, "worker_id": host.id}
    made: dict[str, Any] = await stack.data_of("POST", "/bridges", ROOT, json=body)
    return made


async def plugged(stack: Stack, name: str = "lan") -> dict[str, Any]:
    body = {
        "image": "debian-12",
        "network_profile": "transit",
        "interfaces": [{"if_name": "eth0", "bridge_name": name}],
    }
    query = {"wait": "running", "timeout_s": "20"}
    made: dict[str, Any] = await stack.data_of("POST", "/bunkers", ROOT, json=body, params=query)
    return made


async def test_bunkers_run_where_their_bridge_is_and_hold_it(
    bare: Stack, hosts: list[SimulatedHost]
) -> None:
    made = await bridge(bare, hosts[1])
    assert set(hosts[1].hardware.bridges) == {made["id"]}
    bunkers = [await plugged(bare) for _ in range(3)]
    assert [each["status"] for each in bunkers] == ["running"] * 3
    assert set(hosts[1].machines) == {each["id"] for each in bunkers}
    refused = await bare.call("DELETE", f"/bridges/{made['id']}", ROOT)
    assert error_of(refused) == (409, "BRIDGE_IN_USE")
    for each in bunkers:
        await bare.data_of("DELETE", f"/bunkers/{each['id']}", ROOT)
    await until(lambda: not hosts[1].machines)

    async def deleted() -> bool:
        response = await bare.call("DELETE", f"/bridges/{made['id']}", ROOT)
        return response.status_code == 200

    await until(deleted)
    await until(lambda: not hosts[1].hardware.bridges)


async def test_a_daemon_that_dies_keeps_its_bridges(
    bare: Stack, hosts: list[SimulatedHost]
) -> None:
    host = hosts[0]
    made = await bridge(bare, host)
    bunker = await plugged(bare)
    await host.kill()
    await host.start()

    async def placed_again() -> bool:
        response = await bare.call("POST", "/bunkers", ROOT, json=_body())
        return response.status_code == 201

    await until(placed_again)
    assert set(host.hardware.bridges) == {made["id"]}
    assert await bare.status(bunker["id"], ROOT) == "running"


async def test_a_host_that_has_lost_its_bridges_has_them_made_again(
    bare: Stack, hosts: list[SimulatedHost]
) -> None:
    host = hosts[0]
    made = await bridge(bare, host)
    host.hardware.bridges.clear()
    await until(lambda: set(host.hardware.bridges) == {made["id"]})
    record = await bare.data_of("GET", f"/bridges/{made['id']}", ROOT)
    assert record["status"] == "ready"


async def test_a_daemon_that_does_not_answer_has_none_when_it_goes_on(
    bare: Stack, hosts: list[SimulatedHost]
) -> None:
    host = hosts[0]
    host.faults.deaf = True
    response = await bare.call("POST", "/bridges", ROOT, json={"name": "lan", "worker_id": host.id})
    assert error_of(response) == (502, "WORKER_UNREACHABLE")
    host.faults.deaf = False
    kept = await bridge(bare, host)
    await until(lambda: set(host.hardware.bridges) == {kept["id"]})


async def test_what_a_bridge_is_made_for_ends_with_its_host(
    bare: Stack, hosts: list[SimulatedHost]
) -> None:
    """A bunker on a bridge is not moved: when its worker has lost it, it has failed."""
    host = hosts[0]
    await bridge(bare, host)
    bunker = await plugged(bare)
    host.lose_machines()

    async def has_failed() -> bool:
        return await bare.status(bunker["id"], ROOT) == "failed"

    await until(has_failed)
    assert not hosts[1].machines


def _body() -> dict[str, Any]:
    return {
        "image": "debian-12",
        "network_profile": "transit",
        "interfaces": [{"if_name": "eth0", "bridge_name": "lan"}],
    }
