"""What operators see of a controller: its log, its metrics, its health."""

import asyncio
import contextlib
import signal

import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.metrics.registry import Metrics
from scaigrid.settings import RedisSettings
from tests.integration.metrics import samples, scraped
from tests.integration.stack import Stack, error_of
from tests.ports import free_port
from tests.waiting import loop_time, until


async def test_lines_of_a_request_say_whose_it_is(bare: Stack) -> None:
    me = await bare.data_of("GET", "/v1/me")
    with capture_logs(processors=[merge_contextvars]) as lines:
        signed = await bare.call("GET", "/bunkers")
        denied = await bare.call("GET", "/bunkers", "viewer")
        public = await bare.call("GET", "/health", None)
    of = {line["request_id"]: line for line in lines if line["event"] == "request"}
    line = of[signed.headers["x-request-id"]]
    assert (line["tenant_id"], line["user_id"]) == (me["tenant_id"], me["user_id"])
    assert of[denied.headers["x-request-id"]]["tenant_id"] == me["tenant_id"]
    assert "user_id" not in of[public.headers["x-request-id"]]
    assert structlog.contextvars.get_contextvars() == {}


async def test_metrics_count_what_happens(stack: Stack, bunker: str) -> None:
    await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    await stack.call("GET", "/bunkers/bnk_nope")
    await stack.call("GET", f"/nowhere/{bunker}")
    of_bunker = 'route="/v1/modules/scaibunker/bunkers/{bunker_id}"'
    counted = f'scaigrid_http_requests_total{{method="GET",{of_bunker},status="404"}}'
    lag = "scaigrid_event_loop_lag_seconds_count"
    in_use = 'scaigrid_database_connections{pool="reading",state="in_use"}'
    found = await scraped(
        # A loop may be reading just now.
        stack,
        lambda m: m.get(counted) == 1 and m[lag] > 0 and m[in_use] == 0,
    )
    assert found['scaigrid_http_requests_total{method="GET",route="none",status="404"}'] == 1
    assert found[f'scaigrid_http_request_duration_seconds_count{{method="GET",{of_bunker}}}'] == 1
    assert found["scaigrid_http_requests_in_flight"] == 1  # the scrape itself
    assert found["scaibunker_execs_started_total"] == 1
    assert found['scaibunker_execs_ended_total{outcome="exited"}'] == 1
    assert found["scaibunker_reconcile_passes_total"] > 0
    assert found['scaibunker_bunkers{status="running"}'] == 1
    assert found['scaibunker_bunkers{status="pending"}'] == 0
    assert found['scaibunker_workers{status="online"}'] == 1
    assert found['scaigrid_database_unit_seconds_count{kind="read"}'] > 0
    assert found["scaigrid_batch_writer_queued_writes"] >= 0
    assert found["process_resident_memory_bytes"] > 0


async def test_metrics_name_nobody(stack: Stack, bunker: str) -> None:
    me = await stack.data_of("GET", "/v1/me")
    await stack.data_of("POST", f"/bunkers/{bunker}/exec", json={"command": "x"})
    text = (await stack.call("GET", "/metrics", None)).text
    for name in (bunker, me["tenant_id"], me["user_id"], "wrk_sim", "bnk_", "ten_", "usr_"):
        assert name not in text


async def test_no_place_for_a_bunker_is_counted(bare: Stack) -> None:
    assert (await bare.call("POST", "/bunkers", json={"image": "debian-12"})).status_code == 503
    await scraped(
        bare,
        lambda m: sum(v for k, v in m.items() if k.startswith("scaibunker_placement_failures")) > 0,
    )


async def test_metrics_can_be_closed(bare: Stack) -> None:
    token = "a-token-for-the-scraper"
    await bare.stop()
    bare.knobs.http = {"metrics_token": token}
    await bare.start()
    assert error_of(await bare.call("GET", "/metrics", None)) == (401, "AUTH_TOKEN_MISSING")
    wrong = await bare.call("GET", "/metrics", "super_admin")
    assert error_of(wrong) == (401, "SERVICE_TOKEN_INVALID")
    headers = {"Authorization": f"Bearer {token}"}
    assert (await bare.call("GET", "/metrics", None, headers=headers)).status_code == 200


async def test_a_module_declares_metrics_under_its_own_name() -> None:
    metrics = Metrics()
    metrics.of_module("my-module").counter("things", "Things.").inc()

    async def read() -> dict[str, float]:
        raise DatabaseUnavailable

    metrics.of_module("my-module").polled("rows", "Rows.", "state", read)
    text = (await metrics.exposition()).decode()
    assert samples(text)["my_module_things_total"] == 1
    assert "my_module_rows{" not in text  # an old number would look like a true one


async def test_the_health_of_every_part(stack: Stack) -> None:
    found = await stack.data_of("GET", "/health/detailed", "super_admin")
    parts = {part["name"]: part for part in found["components"]}
    assert {"database", "redis", "migrations", "loops", "module scaibunker"} <= set(parts)
    assert found["health"] == "ok"
    assert all(part["health"] == "ok" and part["faults"] == [] for part in parts.values())
    assert parts["database"]["latency_ms"] > 0
    assert found["uptime_s"] >= 0
    assert found["version"]


@pytest.mark.parametrize("who", ["tenant_admin", "user", "viewer", "stranger"])
async def test_the_health_of_every_part_is_for_super_admins(bare: Stack, who: str) -> None:
    response = await bare.call("GET", "/health/detailed", who)
    assert error_of(response) == (403, "AUTHZ_PERMISSION_DENIED")
    assert error_of(await bare.call("GET", "/health/detailed", None))[0] == 401


async def test_without_redis_it_is_ready_and_degraded(bare: Stack) -> None:
    await bare.stop()
    bare.redis_settings = RedisSettings(url=f"redis://127.0.0.1:{free_port()}/0")
    await bare.start()
    assert (await bare.call("GET", "/health/ready", None)).status_code == 200
    found = await bare.data_of("GET", "/health/detailed", "super_admin")
    parts = {part["name"]: part for part in found["components"]}
    assert found["health"] == parts["redis"]["health"] == "degraded"
    assert parts["redis"]["faults"] == ["it does not answer"]
    await scraped(bare, lambda m: m["scaigrid_redis_failures_total"] > 0)


async def test_a_database_that_hangs_does_not_hang_the_check(
    bare: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings = 0

    async def hang() -> None:
        nonlocal pings
        task = asyncio.current_task()
        if task is not None and task.get_name() == "listener":
            return  # it asks for a reason of its own
        pings += 1
        while True:
            with contextlib.suppress(asyncio.CancelledError):  # not even breaking off helps
                await release.wait()
                return

    release = asyncio.Event()
    monkeypatch.setattr(bare.grid.database, "ping", hang)
    try:
        answers = await asyncio.gather(*(bare.call("GET", "/health/ready", None) for _ in range(5)))
        for response in answers:
            assert error_of(response) == (503, "NOT_READY")
            [fault] = response.json()["error"]["details"]
            assert fault == {"field": "database", "message": "the database is not ready"}
        assert pings == 1
        found = await bare.data_of("GET", "/health/detailed", "super_admin")
        assert found["health"] == "down"
    finally:
        release.set()

    async def ready() -> bool:
        return (await bare.call("GET", "/health/ready", None)).status_code == 200

    await until(ready)


async def test_a_mariadb_that_hangs_makes_it_not_ready_in_time(
    bare: Stack, request: pytest.FixtureRequest
) -> None:
    if bare.database_settings.is_sqlite:
        pytest.skip("SQLite has no server that could hang")
    process = request.getfixturevalue("mariadb_server")._process

    async def answers(status: int) -> bool:
        async with loop_time() as clock:
            found = (await bare.call("GET", "/health/ready", None)).status_code
            assert clock.seconds < 10
            return found == status

    assert await answers(200)
    process.send_signal(signal.SIGSTOP)
    try:
        await until(lambda: answers(503))
        assert (await bare.call("GET", "/health", None)).status_code == 200
    finally:
        process.send_signal(signal.SIGCONT)
    await until(lambda: answers(200))
