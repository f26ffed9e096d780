"""Bridges: made once, listed, deleted."""

import json

import httpx
import pytest

from scaibunker.sdk import (
    AsyncClient,
    BridgeStatus,
    Client,
    Code,
    Conflict,
    Interface,
    InvalidArgument,
    NotFound,
)
from tests.unit.sdk.fake_api import BASE, FakeApi
from tests.unit.sdk.fake_transport import Seen


def test_a_bridge_is_made_found_and_deleted(api: FakeApi, client: Client) -> None:
    made = client.bridges.create("lan", "wrk_1")
    assert json.loads(api.requests("POST", "/bridges")[-1].body) == {
        "name": "lan",
        "worker_id": "wrk_1",
    }
    assert (made.name, made.worker_id, made.status) == ("lan", "wrk_1", BridgeStatus.READY)
    for name in ("wan", "dmz"):
        client.bridges.create(name, "wrk_1")
    assert [each.name for each in client.bridges.list(page_size=2)] == ["lan", "wan", "dmz"]
    assert client.bridges.get(made.id) == made
    assert client.bridges.delete(made.id).status is BridgeStatus.DELETING
    with pytest.raises(NotFound) as missing:
        client.bridges.get(made.id)
    assert missing.value.code == Code.BRIDGE_NOT_FOUND


def test_a_lost_answer_makes_no_second_one(api: FakeApi, client: Client) -> None:
    lost = iter([True])

    def once(seen: Seen) -> httpx.Response | None:
        if seen.path == f"{BASE}/bridges" and next(lost, False):
            api.bridges.route(seen, [])
            raise httpx.ReadError("gone")
        return None

    api.transport.faults.append(once)
    made = client.bridges.create("lan", "wrk_1")
    assert [row["id"] for row in api.bridges.rows] == [made.id]


def test_what_cannot_be_is_refused(api: FakeApi, client: Client) -> None:
    bridge_id = api.bridges.add("lan")
    with pytest.raises(Conflict):
        client.bridges.create("lan", "wrk_1")
    api.bridges.in_use.add(bridge_id)
    with pytest.raises(Conflict) as used:
        client.bridges.delete(bridge_id)
    assert used.value.code == Code.BRIDGE_IN_USE
    seen = len(api.transport.seen)
    for bad in ("", "a/b", "x" * 64):
        with pytest.raises(InvalidArgument):
            client.bridges.create(bad, "wrk_1")
    with pytest.raises(InvalidArgument):
        client.bridges.delete("../bunkers/bnk_1")
    assert len(api.transport.seen) == seen


def test_interfaces_name_bridges(api: FakeApi, client: Client) -> None:
    client.bunkers.create(
        image="debian-12",
        network_profile="transit",
        interfaces=[Interface(if_name="eth0", bridge_name="lan", spoof_guard=False)],
    )
    sent = json.loads(api.requests("POST", "/bunkers")[-1].body)
    assert sent["interfaces"][0]["bridge_name"] == "lan"
    assert sent["interfaces"][0]["spoof_guard"] is False


async def test_the_same_without_blocking(api: FakeApi, aclient: AsyncClient) -> None:
    made = await aclient.bridges.create("lan", "wrk_1")
    assert [each async for each in aclient.bridges.list()] == [made]
    await aclient.bridges.delete(made.id)
    assert api.bridges.rows == []
