"""Traces from the caller through the controller to the worker and the guest's command."""

import secrets
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.collector import Collector, Seen, collecting
from tests.integration.simulated_worker import SimulatedWorker
from tests.integration.stack import Knobs, Stack
from tests.ports import free_port
from tests.waiting import loop_time, until

EXEC = "POST /v1/modules/scaibunker/bunkers/{bunker_id}/exec"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as made:
        yield made


@pytest.fixture
def knobs(collector: Collector) -> Knobs:
    return Knobs(tracing={"endpoint": collector.url, "interval_s": 0.05, "sample_ratio": 0})


class Caller:
    """The trace that a caller has begun."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.trace_id}-{self.span_id}-0{int(sampled)}"}


async def exported(collector: Collector, name: str) -> Seen:
    await until(lambda: bool(collector.named(name)), what=lambda: f"{name} in {collector.spans}")
    [span] = collector.named(name)
    return span


async def test_a_trace_reaches_the_guest(
    stack: Stack, worker: SimulatedWorker, bunker: str, collector: Collector
) -> None:
    heard: list[str] = []

    async def listen(request: web.Request) -> None:
        heard.extend(request.headers.getall("traceparent", []))

    worker.faults["POST /v1/machines"] = listen
    me = await stack.data_of("GET", "/v1/me")
    caller = Caller()
    response = await stack.call(
        "POST", f"/bunkers/{bunker}/exec", json={"command": "x"}, headers=caller.headers
    )
    assert response.status_code == 200
    served = await exported(collector, EXEC)
    assert (served.kind, served.service, served.failed) == ("SERVER", "scaigrid", False)
    assert (served.trace_id, served.parent_id) == (caller.trace_id, caller.span_id)
    assert served.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/modules/scaibunker/bunkers/{bunker_id}/exec",
        "http.response.status_code": "200",
        "scaigrid.request_id": response.headers["x-request-id"],
        "scaigrid.tenant_id": me["tenant_id"],
    }
    asked = await exported(collector, "worker POST")
    assert (asked.kind, asked.trace_id, asked.parent_id) == (
        "CLIENT",
        caller.trace_id,
        served.span_id,
    )
    assert heard == [f"00-{caller.trace_id}-{asked.span_id}-01"]
    [run] = worker.machines[bunker].execs.values()
    assert run.start.env == {"TRACEPARENT": f"00-{caller.trace_id}-{served.span_id}-01"}
    reads = collector.named("database read")
    assert reads
    assert {read.parent_id for read in reads} == {served.span_id}


async def test_a_commands_own_trace_stays(
    stack: Stack, worker: SimulatedWorker, bunker: str
) -> None:
    body = {"command": "x", "env": {"TRACEPARENT": "mine", "A": "1"}}
    await stack.call("POST", f"/bunkers/{bunker}/exec", json=body, headers=Caller().headers)
    [run] = worker.machines[bunker].execs.values()
    assert run.start.env == {"TRACEPARENT": "mine", "A": "1"}


async def test_what_is_not_sampled_leaves_no_trace(
    stack: Stack, worker: SimulatedWorker, bunker: str, collector: Collector
) -> None:
    headers = [
        Caller(sampled=False).headers,
        {},
        {"traceparent": "00-nonsense"},
        {"traceparent": "x" * 5000},
    ]
    for each in headers:
        response = await stack.call(
            "POST", f"/bunkers/{bunker}/exec", json={"command": "x"}, headers=each
        )
        assert response.status_code == 200
    assert all(run.start.env == {} for run in worker.machines[bunker].execs.values())
    await stack.call("GET", "/nowhere", headers=Caller().headers)
    assert (await exported(collector, "GET")).attributes["http.response.status_code"] == "404"
    assert collector.named(EXEC) == []


async def test_a_collector_that_is_away_holds_nothing_up(bare: Stack) -> None:
    await bare.stop()
    bare.knobs.tracing = {"endpoint": f"http://127.0.0.1:{free_port()}", "interval_s": 0.05}
    await bare.start()
    assert (await bare.call("GET", "/v1/me")).status_code == 200
    async with loop_time() as clock:
        await bare.stop()
        assert clock.seconds < 20
