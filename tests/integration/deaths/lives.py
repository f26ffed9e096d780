"""A controller in a process of its own, which is killed at each step of what it does, and is followed by another.

Each test walks: the first process dies at its first step, the next one clears up after it and dies at
its second, and so on, until one outlives all of its steps.
"""

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from scaigrid.settings import RedisSettings
from tests.integration.deaths import mortal
from tests.integration.simulated_worker import TOKEN
from tests.integration.stack import Stack
from tests.ports import free_port
from tests.servers import ServerProcess
from tests.waiting import until


class Program(ServerProcess):
    """`mortal` in a folder, on a database and a part of a Redis."""

    def __init__(self, folder: Path, database_url: str, redis: RedisSettings) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        environment = {
            "PATH": os.environ["PATH"],
            "SCAIGRID_DATABASE_URL": database_url,
            "SCAIGRID_REDIS_URL": redis.url,
            "SCAIGRID_REDIS_PREFIX": redis.prefix,
            "SCAIGRID_REDIS_TIMEOUT_S": str(redis.timeout_s),
            "SCAIGRID_HTTP_PORT": str(port),
            "SCAIBUNKER_WORKER_TOKEN": TOKEN,
            "SCAIBUNKER_OBJECT_STORE_URL": f"file://{folder / 'objects'}",
            "SCAIBUNKER_RECONCILE_INTERVAL_S": "0.5",
        }
        super().__init__(folder, [sys.executable, mortal.__file__], environment)

    def answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url + mortal.PATH, timeout=30).status_code == 200
        return False

    def last_death(self) -> str:
        """The step at which a process has died last."""
        return (self.folder / mortal.DEATHS).read_text().splitlines()[-1]


@dataclass
class Life:
    """One process, which dies at its step number `last`. `taken`: its steps, if it has outlived them."""

    last: int
    pid: int = 0
    taken: list[str] = field(default_factory=list)
    where: str = "all of its steps"

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Say where it died, if something is wrong with what the block finds."""
        try:
            yield
        except Exception as error:
            raise AssertionError(
                f"killed after {self.where} (step {self.last}): {error!r}"
            ) from error


class MortalStack(Stack):
    """A controller in a process of its own, which dies when it is told to, and is followed by another.
    What is assembled in this process looks into the stores and does background tasks."""

    program: Program

    async def start(self) -> None:
        """Begin with a process that knows nothing of what was before."""
        self.assemble()
        # No connection outlives a request: it could be one to a process that has died since.
        self.client = httpx.AsyncClient(
            base_url=self.program.url, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)
        )
        pid = (await self.client.get(mortal.PATH)).json()["pid"]
        os.kill(pid, signal.SIGKILL)

    async def stop(self) -> None:
        await self.client.aclose()
        await self.grid.live.close()
        await self.grid.database.close()

    async def lives(self, stride: int = 1) -> AsyncIterator[Life]:
        """One after the other, each with a step more than the one before it, until one has no more; or with
        so many more, where a death costs much."""
        life = Life(1 - stride)
        while not life.taken:
            life = Life(life.last + stride)
            yield life

    @contextlib.asynccontextmanager
    async def led(self, life: Life) -> AsyncIterator[None]:
        """Count the steps of what the block begins. When it ends the process has died, or it does
        nothing more."""
        life.pid = (await self.client.post(mortal.PATH, params={"last": life.last})).json()["pid"]
        yield
        await until(lambda: self._is_over(life), what=lambda: f"the end of {life}")

    async def _is_dead(self, life: Life) -> bool:
        with contextlib.suppress(httpx.TransportError):
            found = (await self.client.get(mortal.PATH)).json()
            return bool(found["pid"] != life.pid)
        return False

    async def _is_over(self, life: Life) -> bool:
        with contextlib.suppress(httpx.TransportError):
            found = (await self.client.get(mortal.PATH)).json()
            if found["pid"] != life.pid:
                life.where = self.program.last_death()
                return True
            if found["idle"]:
                life.taken = found["taken"]
                await self.client.post(mortal.PATH, params={"last": 0})
                return True
        return False

    async def dying(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """A request to a process that may die before it answers."""
        try:
            return await self.call(method, path, **options)
        except httpx.TransportError:
            return None

    async def task(self, name: str) -> None:
        """Have a process do a background task, in which it may die."""
        with contextlib.suppress(httpx.TransportError):
            (await self.client.post(f"{mortal.PATH}/{name}")).raise_for_status()


def commits(life: Life, table: str) -> int:
    """How many transactions a process has made that write to a table."""
    return sum(f" {table}," in f"{step}," for step in life.taken)
