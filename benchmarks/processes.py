"""Real processes for a benchmark: the stores, the controller, its floor."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
from tests.integration.simulated_worker import IMAGE, TOKEN
from tests.servers import MariaDb, RedisServer, running

from scaibunker.controller.bootstrap import SeedImage, bootstrap
from scaigrid.settings import DatabaseSettings

START_S = 60
CONTROLLER = [sys.executable, "-c", "from scaigrid.modes import main; main()"]


class Stores(NamedTuple):
    """A migrated database with its first identities, and Redis."""

    environment: dict[str, str]
    keys: dict[str, str]
    pids: list[int]
    redis_url: str


@contextlib.asynccontextmanager
async def stores(folder: Path) -> AsyncIterator[Stores]:
    """Both, while inside."""
    for part in ("db", "redis"):
        (folder / part).mkdir()
    with (
        contextlib.contextmanager(running)(MariaDb(folder / "db")) as mariadb,
        contextlib.contextmanager(running)(RedisServer(folder / "redis")) as redis,
    ):
        told = environment(mariadb.url("bench"), redis.url, folder)
        migrating = await asyncio.create_subprocess_exec(
            *CONTROLLER, env={**told, "SCAIGRID_MODE": "migrate"}
        )
        assert await migrating.wait() == 0
        keys = await bootstrap(
            DatabaseSettings(url=told["SCAIGRID_DATABASE_URL"]),
            [SeedImage("debian-12", "1", IMAGE, 1 << 30, default_memory_mb=256)],
        )
        pids = [server._process.pid for server in (mariadb, redis) if server._process]
        yield Stores(told, keys, pids, redis.url)


def environment(database: str, redis: str, folder: Path) -> dict[str, str]:
    """What every process of the product is told. Nobody is limited."""
    return {
        "PATH": os.environ["PATH"],
        "SCAIGRID_DATABASE_URL": database,
        "SCAIGRID_REDIS_URL": redis,
        "SCAIBUNKER_WORKER_TOKEN": TOKEN,
        **{f"SCAIGRID_RATE_LIMIT_PER_{of}": str(10**8) for of in ("KEY", "USER", "TENANT")},
        "SCAIBUNKER_OBJECT_STORE_URL": f"file://{folder}/objects",
    }


def controller(
    environment: dict[str, str], port: int, folder: Path
) -> "contextlib.AbstractContextManager[subprocess.Popen[bytes]]":
    """A replica on that port, while inside."""
    settings = {"SCAIGRID_MODE": "http", "SCAIGRID_HTTP_PORT": str(port)}
    return process(CONTROLLER, {**environment, **settings}, folder / f"controller-{port}.log")


@contextlib.contextmanager
def process(
    argv: list[str], environment: dict[str, str], log: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that is ended on leaving."""
    with log.open("wb") as file:
        started = subprocess.Popen(argv, env=environment, stdout=file, stderr=file)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


async def until_served(port: int, path: str) -> None:
    """Wait for a 200."""
    deadline = time.monotonic() + START_S
    async with httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200:
                    return
            assert time.monotonic() < deadline, f"{path} is not served"
            await asyncio.sleep(0.1)
