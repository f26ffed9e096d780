"""The process: its modes, its refusals, its stop; and what a new installation starts from."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from scaibunker.controller.bootstrap import SeedImage, bootstrap
from scaigrid.settings import DatabaseSettings
from tests.ports import free_port
from tests.servers import RedisServer
from tests.waiting import until


@pytest.fixture
def environment(tmp_path: Path, redis_server: RedisServer) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SCAIGRID_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/grid.db",
        "SCAIGRID_REDIS_URL": redis_server.url,
        "SCAIGRID_HTTP_PORT": str(free_port()),
        "SCAIBUNKER_WORKER_TOKEN": "a-token-for-the-process-test",
        "SCAIBUNKER_OBJECT_STORE_URL": f"file://{tmp_path}/objects",
    }


async def process(environment: dict[str, str], **more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from scaigrid.modes import main; main()",
        env={**environment, **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def outcome(environment: dict[str, str], **more: str) -> tuple[int, str]:
    running = await process(environment, **more)
    out, err = await asyncio.wait_for(running.communicate(), 60)
    return running.returncode or 0, (out + err).decode()


async def test_from_migration_to_a_stop(environment: dict[str, str]) -> None:
    code, text = await outcome(environment, SCAIGRID_MODE="http")
    assert code == 2
    assert "SCAIGRID_MODE=migrate" in text
    for _ in range(2):
        assert (await outcome(environment, SCAIGRID_MODE="migrate"))[0] == 0
    running = await process(environment, SCAIGRID_MODE="http")
    url = f"http://127.0.0.1:{environment['SCAIGRID_HTTP_PORT']}/health/ready"
    async with httpx.AsyncClient() as client:

        async def ready() -> bool:
            try:
                return (await client.get(url)).status_code == 200
            except httpx.TransportError:
                return False

        await until(ready, 60)
    running.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode == 0
    assert environment["SCAIBUNKER_WORKER_TOKEN"] not in log.decode()
    assert '"path": "/health/ready"' in log.decode()


async def test_background_workers_run_side_by_side_until_they_are_stopped(
    environment: dict[str, str],
) -> None:
    assert (await outcome(environment, SCAIGRID_MODE="migrate"))[0] == 0
    ports = [free_port(), free_port()]
    pair = [
        await process(
            environment,
            SCAIGRID_MODE="worker",
            SCAIGRID_TASKS_HEALTH_PORT=str(port),
            SCAIGRID_TASKS_POLL_INTERVAL_S="0.2",
        )
        for port in ports
    ]
    async with httpx.AsyncClient() as client:
        for port in ports:

            async def ready(port: int = port) -> bool:
                try:
                    response = await client.get(f"http://127.0.0.1:{port}/health/ready")
                except httpx.TransportError:
                    return False
                return response.status_code == 200

            await until(ready, 60)
        shown = await client.get(f"http://127.0.0.1:{ports[1]}/metrics")
        assert "scaigrid_task_run_seconds" in shown.text
    code, text = await outcome(
        environment, SCAIGRID_MODE="worker", SCAIGRID_TASKS_HEALTH_PORT=str(ports[0])
    )
    assert code == 2
    assert "SCAIGRID_TASKS_HEALTH_PORT" in text
    for each in pair:
        each.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(each.communicate(), 60)
        assert each.returncode == 0
        # Not the last word: a task that runs is let finish, and may have something to say.
        assert "background worker stops" in [json.loads(line)["event"] for line in log.splitlines()]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SCAIGRID_MODE": ""}, "must be one of http, worker, migrate, bunker_proxy"),
        ({"SCAIGRID_MODE": "http", "SCAIGRID_HTTP_PORT": "x"}, "SCAIGRID_HTTP_PORT"),
        ({"SCAIGRID_MODE": "worker", "SCAIGRID_TASKS_LEASE_S": "0"}, "SCAIGRID_TASKS_LEASE_S"),
        ({"SCAIGRID_MODE": "worker"}, "SCAIGRID_MODE=migrate"),
    ],
)
async def test_a_start_that_cannot_be_says_why(
    environment: dict[str, str], changes: dict[str, str], said: str
) -> None:
    code, text = await outcome(environment, **changes)
    assert code == 2
    assert said in text
    assert "Traceback" not in text


async def test_a_wrong_setting_of_the_module_is_named(environment: dict[str, str]) -> None:
    assert (await outcome(environment, SCAIGRID_MODE="migrate"))[0] == 0
    store = "SCAIBUNKER_OBJECT_STORE_"
    for changes, named in (
        ({f"{store}URL": "gs://bucket"}, f"{store}URL"),
        ({f"{store}URL": "s3://bucket", f"{store}ENDPOINT": "http://x"}, f"{store}ENDPOINT"),
        ({f"{store}SECRET_ACCESS_KEY": "hush-hush"}, f"{store}SECRET_ACCESS_KEY"),
        ({f"{store}ACCESS_KEY_ID": "id"}, f"{store}SECRET_ACCESS_KEY"),
        ({f"{store}CA": "/nosuch"}, f"{store}CA"),
    ):
        code, text = await outcome(environment, SCAIGRID_MODE="http", **changes)
        assert code == 2
        assert named in text
        assert "hush-hush" not in text
        assert "Traceback" not in text
    code, text = await outcome(environment, SCAIGRID_MODE="http", SCAIBUNKER_WORKER_TOKEN="short")
    assert code == 2
    assert "SCAIBUNKER_WORKER_TOKEN" in text
    assert "short" not in text.replace("shorter", "")


async def test_bootstrapping_again_changes_nothing_but_images(
    environment: dict[str, str],
) -> None:
    await outcome(environment, SCAIGRID_MODE="migrate")
    settings = DatabaseSettings(url=environment["SCAIGRID_DATABASE_URL"])
    first = await bootstrap(settings, [SeedImage("debian-12", "1", "a" * 64, 10)])
    assert set(first) == {"tenant_id", "super_admin", "tenant_admin", "user", "viewer"}
    again = await bootstrap(settings, [SeedImage("debian-12", "1", "b" * 64, 20)])
    assert again == {"tenant_id": first["tenant_id"]}


async def test_a_new_installation_gets_its_first_super_admin(environment: dict[str, str]) -> None:
    key = "sgk_" + "k" * 43
    code, text = await outcome(
        environment, SCAIGRID_MODE="migrate", SCAIGRID_AUTH_FIRST_KEY="sgk_x"
    )
    assert code == 2
    assert "SCAIGRID_AUTH_FIRST_KEY" in text
    assert "sgk_x" not in text
    for given in (key, "sgk_" + "o" * 43):  # the second comes too late
        code, text = await outcome(
            environment, SCAIGRID_MODE="migrate", SCAIGRID_AUTH_FIRST_KEY=given
        )
        assert code == 0, text
        assert given not in text
    serving = await process(environment, SCAIGRID_MODE="http")
    url = f"http://127.0.0.1:{environment['SCAIGRID_HTTP_PORT']}"
    try:
        async with httpx.AsyncClient(base_url=url) as client:
            await until(lambda: _answers(client), 60)
            shown = await client.get("/v1/me", headers={"Authorization": f"Bearer {key}"})
            assert shown.json()["data"]["role"] == "super_admin"
            late = await client.get("/v1/me", headers={"Authorization": f"Bearer {given}"})
            assert late.status_code == 401
    finally:
        serving.terminate()
        await asyncio.wait_for(serving.communicate(), 60)


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False
