"""Two processes of `SCAIGRID_MODE=worker` on one database."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import func, select, update

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import ImageRef
from scaibunker.controller.images.tables import images
from scaigrid.accounting.domain import MINUTE, minute_of
from scaigrid.accounting.tables import usage_ticks
from scaigrid.clock import SystemClock
from scaigrid.db import Database
from scaigrid.operation import system_operation
from scaigrid.settings import RedisSettings
from scaigrid.tasks.domain import Every, Span, Task
from scaigrid.tasks.runner import register
from scaigrid.tasks.tables import task_runs
from scaigrid.tenancy.tables import users
from tests.integration.conftest import Template
from tests.integration.inside import whole
from tests.ports import free_port
from tests.unit.controller.builders import a_bunker
from tests.waiting import until

MISSED = 30


class StoppedAt(SystemClock):
    """A clock that shows one time."""

    def __init__(self, time: datetime) -> None:
        self._time = time

    def now(self) -> datetime:
        return self._time


async def nothing(_: object, __: Span) -> None:
    pass


async def test_two_background_workers_catch_up_and_count_each_minute_once(
    template: Template, redis_settings: RedisSettings, tmp_path: Path
) -> None:
    settings = template.store.copy(tmp_path / "data")
    environment = {
        "PATH": os.environ["PATH"],
        "SCAIGRID_MODE": "worker",
        "SCAIGRID_DATABASE_URL": settings.url,
        "SCAIGRID_REDIS_URL": redis_settings.url,
        "SCAIGRID_REDIS_PREFIX": redis_settings.prefix,
        "SCAIGRID_TASKS_POLL_INTERVAL_S": "0.1",
        "SCAIBUNKER_WORKER_TOKEN": "a-token-for-the-process-test",
        "SCAIBUNKER_OBJECT_STORE_URL": f"file://{tmp_path}/objects",
    }
    database = Database(settings)
    clock = SystemClock()
    op = system_operation("tests", clock)
    begin = minute_of(clock.now()) - MISSED * MINUTE
    async with database.write() as db:
        user = await db.row(whole(select(users).where(users.c.name == "user")))
        image = await db.row(whole(select(images)))
        assert user is not None
        assert image is not None
        bunker = replace(
            a_bunker(),
            tenant_id=user["tenant_id"],
            owner_user_id=user["id"],
            image=ImageRef(image["id"], "debian-12", "a" * 64, 1),
            worker_id=None,
            created_at=begin - timedelta(days=1),
        )
        await repository.add(replace(op, clock=StoppedAt(begin)), db, bunker)
    task = Task("scaibunker.usage_ticks", Every(60), nothing)
    await register(database, clock, [task])
    async with database.write() as db:
        await db.execute(update(task_runs).values(done_until=begin + timedelta(seconds=5)))
    ports = [free_port() for _ in range(2)]
    pair = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from scaigrid.modes import main; main()",
            env={**environment, "SCAIGRID_TASKS_HEALTH_PORT": str(port)},
            stderr=asyncio.subprocess.PIPE,
        )
        for port in ports
    ]

    async def count() -> int:
        async with database.read() as db:
            return int(await db.value(whole(select(func.count()).select_from(usage_ticks))))

    async def caught_up() -> bool:
        return await count() >= MISSED

    async def both_run() -> bool:
        async with httpx.AsyncClient() as client:
            for port in ports:
                try:
                    await client.get(f"http://127.0.0.1:{port}/health")
                except httpx.TransportError:
                    return False
        return True

    try:
        await until(both_run, 60)
        await until(caught_up, 60)
    finally:
        for each in pair:
            each.send_signal(signal.SIGTERM)
        logs = [(await asyncio.wait_for(each.communicate(), 60))[1].decode() for each in pair]
    assert [each.returncode for each in pair] == [0, 0]
    assert not any("exception" in log for log in logs), logs
    async with database.read() as db:
        rows = await db.rows(whole(select(usage_ticks).order_by(usage_ticks.c.minute)))
    await database.close()
    assert [row["minute"] for row in rows] == [begin + n * MINUTE for n in range(len(rows))]
    assert {row["cpu_seconds"] for row in rows} == {60 * bunker.shape.cpu_millicores / 1000}
