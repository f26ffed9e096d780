"""Workers whose clocks are wrong: what happens when is the controller's to say, and no report carries a
time of day."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.conftest import Template
from tests.integration.places import in_step
from tests.integration.simulated_worker import IMAGE, TOKEN
from tests.integration.stack import Knobs, Stack
from tests.waiting import until

INTERVAL_S = 1.0
OFFLINE_S = 3 * INTERVAL_S
NEAR = timedelta(minutes=5)
WRONG_CLOCK = """
import runpy, sys, time
off, now, now_ns = float(sys.argv.pop(1)), time.time, time.time_ns
time.time = lambda: now() + off
time.time_ns = lambda: now_ns() + int(off * 1e9)
runpy.run_module("scaibunker.testing", run_name="__main__", alter_sys=True)
"""
"""Runs simulated workers, the real daemon, so many seconds off."""


@pytest.fixture
def template(sqlite_template: Template) -> Template:
    return sqlite_template


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(heartbeat_interval_s=INTERVAL_S)


@pytest.fixture(params=[-3600, 3600], ids=["behind", "ahead"])
async def wrong(bare: Stack, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """One worker, an hour off."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRONG_CLOCK, str(request.param)),
        *("--controller", str(bare.client.base_url), "--workers", "1", "--spread-s", "0"),
        *("--image", f"{IMAGE}={1 << 30}", "--boot-s", "0.1"),
        env={"PATH": os.environ["PATH"], "SCAIBUNKER_WORKER_TOKEN": TOKEN},
    )
    try:
        await until(lambda: shown(bare), 60)
        yield
    finally:
        process.terminate()
        await process.wait()


async def shown(stack: Stack) -> list[dict[str, Any]]:
    """The workers that have reported."""
    found: list[dict[str, Any]] = await stack.data_of("GET", "/workers", "super_admin")
    return found


def is_near(time: str) -> bool:
    return abs(datetime.fromisoformat(time) - datetime.now(UTC)) < NEAR


async def test_a_worker_that_is_an_hour_off_is_as_good_as_any(bare: Stack, wrong: None) -> None:
    made = await bare.create(idle_timeout_s=60, max_lifetime_s=600)
    path = f"/bunkers/{made['id']}"
    assert is_near(made["started_at"])
    assert made["created_at"] <= made["started_at"]
    done = await bare.data_of("POST", f"{path}/exec", json={"command": "echo good"})
    assert (done["exit_code"], done["stdout"]) == (0, "good\n")
    detached = {"command": "echo bad; exit 3", "detach": True}
    begun = await bare.data_of("POST", f"{path}/exec", json=detached)
    log = f"{path}/execs/{begun['exec_id']}"

    async def ended() -> bool:
        return bool((await bare.data_of("GET", log))["exit_code"] == 3)

    await until(ended)
    # Longer than silence may last.
    [first] = await shown(bare)

    async def has_reported_for_long() -> bool:
        [now] = await shown(bare)
        assert now["status"] == "online"
        assert is_near(now["last_heartbeat_at"])
        heard = [datetime.fromisoformat(each["last_heartbeat_at"]) for each in (first, now)]
        return heard[1] - heard[0] > timedelta(seconds=OFFLINE_S + INTERVAL_S)

    await until(has_reported_for_long)
    for name in ("sweep_timeouts", "monitor_heartbeats", "usage_ticks"):
        await bare.run_task(f"scaibunker.{name}")
    assert await bare.status(made["id"]) == "running"
    for verb, status in (("pause", "paused"), ("resume", "running")):
        assert (await bare.data_of("POST", f"{path}/{verb}"))["status"] == status
    ended_at = (await bare.data_of("DELETE", path))["terminated_at"]
    assert is_near(ended_at)
    await in_step(bare)
