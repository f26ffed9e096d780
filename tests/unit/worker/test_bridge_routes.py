"""Bridges at the worker's door."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from scaibunker.testing.bridges import SimulatedBridges
from scaibunker.wire.worker import TOKEN_HEADER
from scaibunker.wire.worker.bridges import BridgeSpec
from scaibunker.worker.api.app import build
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.network.bridges.none import NoBridges
from scaibunker.worker.network.bridges.port import Bridges
from tests.unit.worker.fake_host import FakeDriver, make_host, make_snapshots

TOKEN = "a-token-for-the-worker"
HEADERS = {TOKEN_HEADER: f"Bearer {TOKEN}"}
SPEC = BridgeSpec(bridge_id="brg_0lan", tenant_id="ten_1", name="lan")
Client = TestClient  # type: ignore[type-arg]


@pytest.fixture
def plugged() -> dict[str, int]:
    return {}


@pytest.fixture
def bridges(plugged: dict[str, int]) -> Bridges:
    return SimulatedBridges({}, lambda bridge_id: plugged.get(bridge_id, 0))


@pytest.fixture
async def client(tmp_path: Path, bridges: Bridges) -> AsyncIterator[Client]:
    fleet = Fleet(make_host(tmp_path, FakeDriver()), 700_000, lambda: None)
    app = build(fleet, make_snapshots(tmp_path), bridges, "wrk_1", (TOKEN,))
    async with TestClient(TestServer(app), headers=HEADERS) as made:
        yield made


async def put(
    client: Client, spec: BridgeSpec, bridge_id: str = ""
) -> tuple[int, dict[str, object]]:
    path = f"/v1/bridges/{bridge_id or spec.bridge_id}"
    response = await client.put(path, data=spec.model_dump_json())
    return response.status, await response.json()


async def test_a_bridge_is_made_shown_and_taken_down(client: Client) -> None:
    said = {**SPEC.model_dump(), "ports": 0}
    for _ in range(2):
        assert await put(client, SPEC) == (200, said)
    assert await (await client.get("/v1/bridges")).json() == {"bridges": [said]}
    assert await (await client.get("/v1/bridges/brg_0lan")).json() == said
    for _ in range(2):
        assert (await client.delete("/v1/bridges/brg_0lan")).status == 204
    missing = await client.get("/v1/bridges/brg_0lan")
    assert (missing.status, (await missing.json())["code"]) == (404, "BRIDGE_NOT_FOUND")


async def test_what_makes_no_sense_is_refused(client: Client) -> None:
    await put(client, SPEC)
    status, body = await put(client, SPEC.model_copy(update={"tenant_id": "ten_2"}))
    assert (status, body["code"]) == (409, "NAME_CONFLICT")
    status, body = await put(client, SPEC, "brg_0other")
    assert (status, body["code"]) == (422, "VALIDATION_ERROR")
    status, body = await put(client, SPEC.model_copy(update={"bridge_id": "../x"}), "x")
    assert (status, body["code"]) == (422, "VALIDATION_ERROR")


async def test_a_bridge_that_is_in_use_stays(client: Client, plugged: dict[str, int]) -> None:
    await put(client, SPEC)
    plugged["brg_0lan"] = 2
    refused = await client.delete("/v1/bridges/brg_0lan")
    assert (refused.status, (await refused.json())["code"]) == (409, "BRIDGE_IN_USE")
    assert (await (await client.get("/v1/bridges/brg_0lan")).json())["ports"] == 2


class TestWithout:
    """A worker that can have none."""

    @pytest.fixture
    def bridges(self) -> Bridges:
        return NoBridges()

    async def test_there_are_none(self, client: Client) -> None:
        status, body = await put(client, SPEC)
        assert (status, body["code"]) == (409, "WORKER_UNAVAILABLE")
        assert await (await client.get("/v1/bridges")).json() == {"bridges": []}
        assert (await client.delete("/v1/bridges/brg_0lan")).status == 204
