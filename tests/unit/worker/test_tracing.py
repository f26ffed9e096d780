"""The worker's spans: for requests with the token that are part of a trace, and for no others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from scaibunker.wire.worker import TOKEN_HEADER
from scaibunker.wire.worker.machines import MachineState
from scaibunker.worker import recover
from scaibunker.worker.api.app import build
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.network.bridges.none import NoBridges
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.snapshots.jobs import Snapshots
from scaibunker.worker.snapshots.store import LocalStore
from scaibunker.worker.tracing import Tracing
from tests.collector import Collector, collecting
from tests.unit.worker.fake_host import FakeDriver, make_host, spec
from tests.waiting import until

TOKEN = "a-token-for-the-worker"
TRACE, PARENT = "ab" * 16, "cd" * 8
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as made:
        yield made


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    driver = FakeDriver()
    host = make_host(tmp_path, driver)
    fleet = Fleet(host, 700_000, lambda: None)
    recover.take_over(host, fleet)
    yield fleet
    await fleet.destroy_all()
    await driver.close()


def settings(folder: Path, endpoint: str | None) -> WorkerSettings:
    return WorkerSettings(
        token=SecretStr(TOKEN),
        data_dir=folder,
        tracing_endpoint=endpoint,
        tracing_interval_s=0.05,
    )


async def order(fleet: Fleet, tracing: Tracing, traceparent: str, token: str = TOKEN) -> int:
    snapshots = Snapshots(Path("/nonexistent"), LocalStore(Path("/nonexistent")), lambda: None)
    app = build(fleet, snapshots, NoBridges(), "wrk_1", (TOKEN,), inner=tracing.middlewares())
    async with TestClient(TestServer(app)) as client:
        response = await client.put(
            "/v1/machines/bnk_abcd1234",
            data=spec().model_dump_json(),
            headers={TOKEN_HEADER: f"Bearer {token}", "traceparent": traceparent},
        )
        if response.status == 202:
            machine = fleet.get("bnk_abcd1234")
            await until(lambda: machine.state is MachineState.RUNNING)
        return response.status


async def test_an_order_and_its_steps_are_part_of_the_controllers_trace(
    tmp_path: Path, fleet: Fleet, collector: Collector
) -> None:
    tracing = Tracing(settings(tmp_path, collector.url))
    assert await order(fleet, tracing, TRACEPARENT) == 202
    await tracing.close()
    [served] = collector.named("PUT /v1/machines/{machine}")
    assert (served.kind, served.service) == ("SERVER", "scaibunker-worker")
    assert (served.trace_id, served.parent_id) == (TRACE, PARENT)
    assert served.attributes == {
        "scaibunker.bunker_id": "bnk_abcd1234",
        "http.response.status_code": "202",
    }
    steps = [span for span in collector.spans if span.name.startswith("machine ")]
    assert len(steps) > 3
    assert {step.parent_id for step in steps} == {served.span_id}


@pytest.mark.parametrize(
    ("traceparent", "token", "status"),
    [
        (TRACEPARENT, "wrong", 401),
        (f"00-{TRACE}-{PARENT}-00", TOKEN, 202),  # not sampled
        ("nonsense", TOKEN, 202),  # the worker begins no trace
    ],
)
async def test_others_leave_no_trace(
    tmp_path: Path, fleet: Fleet, collector: Collector, traceparent: str, token: str, status: int
) -> None:
    tracing = Tracing(settings(tmp_path, collector.url))
    assert await order(fleet, tracing, traceparent, token) == status
    await tracing.close()
    assert collector.spans == []


async def test_without_a_collector_nothing_is_done(tmp_path: Path, fleet: Fleet) -> None:
    tracing = Tracing(settings(tmp_path, None))
    assert tracing.middlewares() == []
    assert await order(fleet, tracing, TRACEPARENT) == 202
    await asyncio.wait_for(tracing.close(), 1)
