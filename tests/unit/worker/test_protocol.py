"""Versions of the worker protocol at the worker's door."""

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from scaibunker.wire.worker import PROTOCOL_HEADER, TOKEN_HEADER
from scaibunker.wire.worker.protocol import Versions, version_of
from scaibunker.worker.api.app import build
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.network.bridges.none import NoBridges
from tests.unit.worker.fake_host import FakeDriver, make_host, make_snapshots, spec

TOKEN = "a-token-for-the-worker"


@pytest.mark.parametrize(
    ("header", "spoken", "status", "older"),
    [
        (None, Versions(2, 3), 503, "upgrade the controller"),
        ("1", Versions(2, 3), 503, "upgrade the controller"),
        ("4", Versions(2, 3), 503, "upgrade the worker"),
        ("two", Versions(2, 3), 422, "no version"),
        ("-2", Versions(2, 3), 422, "no version"),
        ("9" * 5000, Versions(2, 3), 422, "no version"),
    ],
)
async def test_a_request_of_another_version_does_nothing(
    tmp_path: Path, header: str | None, spoken: Versions, status: int, older: str
) -> None:
    fleet = Fleet(make_host(tmp_path, FakeDriver()), 700_000, lambda: None)
    headers = {TOKEN_HEADER: f"Bearer {TOKEN}"}
    if header is not None:
        headers[PROTOCOL_HEADER] = header
    async with TestClient(
        TestServer(
            build(fleet, make_snapshots(tmp_path), NoBridges(), "wrk_1", (TOKEN,), (), spoken)
        )
    ) as client:
        order = spec()
        response = await client.put(
            f"/v1/machines/{order.bunker_id}", data=order.model_dump_json(), headers=headers
        )
        body = await response.json()
    assert response.status == status
    assert older in body["message"]
    assert (body["code"] == "PROTOCOL_MISMATCH") is (status == 503)
    assert list(fleet) == []


async def test_a_request_that_names_no_version_is_of_version_1(tmp_path: Path) -> None:
    fleet = Fleet(make_host(tmp_path, FakeDriver()), 700_000, lambda: None)
    async with TestClient(
        TestServer(build(fleet, make_snapshots(tmp_path), NoBridges(), "wrk_1", (TOKEN,)))
    ) as client:
        response = await client.get("/v1/machines", headers={TOKEN_HEADER: f"Bearer {TOKEN}"})
    assert response.status == 200


def test_what_a_header_says() -> None:
    assert [version_of(each) for each in (None, "1", "12", "", "x", "٣")] == [1, 1, 12] + [None] * 3
