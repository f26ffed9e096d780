"""The process of `SCAIGRID_MODE=worker`: any number of them share the tasks."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from scaigrid.clock import Clock, SystemClock
from scaigrid.db import Database, migrate
from scaigrid.health import checks
from scaigrid.health.probe import Probe
from scaigrid.http.sse import Stopping
from scaigrid.idempotency.service import Idempotency
from scaigrid.live.bus import Bus
from scaigrid.live.store import LiveStore
from scaigrid.loops import end
from scaigrid.metrics.registry import Metrics
from scaigrid.module import Module, Platform, assemble
from scaigrid.settings import DatabaseSettings, RedisSettings, TaskSettings
from scaigrid.tasks.health import HealthServer
from scaigrid.tasks.queue import Queue
from scaigrid.tasks.runner import Runner, register

log = structlog.get_logger(__name__)

STALE_INTERVALS = 6
"""Intervals without a look into the table after which the process does not count as healthy."""


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """The platform's sections that a background worker needs."""

    database: DatabaseSettings
    redis: RedisSettings
    tasks: TaskSettings
    metrics_token: SecretStr | None = None


class Background:
    """The process: the tasks of platform and modules, and what they need."""

    def __init__(
        self, settings: BackgroundSettings, modules: Sequence[Module], clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._modules = tuple(modules)
        self._clock = clock or SystemClock()
        metrics = Metrics()
        self._database = Database(settings.database, metrics)
        self._live = LiveStore(settings.redis, metrics)
        self._bus = Bus(self._live)
        platform = Platform(self._database, self._live, self._bus, self._clock, Stopping(), metrics)
        assemblies = assemble(modules, platform)
        self._tasks = [
            Idempotency(self._database).task(),
            *(task for assembly in assemblies for task in assembly.tasks),
        ]
        self.runner = Runner(self._database, self._clock, self._tasks, settings.tasks, metrics)
        self._queue = Queue(self.runner, settings.redis)
        probes = [
            Probe("database", checks.database(self._database), needed=True),
            Probe("tasks", self._standstill, needed=True),
        ]
        self._health = HealthServer(settings.tasks, probes, metrics, settings.metrics_token)

    async def run_until_told(self) -> None:
        """Run until SIGTERM or SIGINT."""
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        await self.run(told)

    async def run(self, told: asyncio.Event) -> None:
        """Run until told to stop. Raises SchemaBehind."""
        try:
            await migrate.check(self._database, [module.migrations for module in self._modules])
            await register(self._database, self._clock, self._tasks)
            await self._bus.start()
            await self._health.start()
            loops = [
                asyncio.create_task(loop, name=name)
                for name, loop in (("poll", self.runner.poll()), ("queue", self._queue.run()))
            ]
            log.info("background worker is ready", tasks=sorted(self.runner.tasks))
            try:
                await told.wait()
            finally:
                log.info("background worker stops")
                await end(loops)
                await self.runner.stop()
                await self._health.stop()
                await self._bus.stop()
        finally:
            await self._live.close()
            await self._database.close()

    async def _standstill(self) -> Sequence[str]:
        late = STALE_INTERVALS * self._settings.tasks.poll_interval_s
        return ["nothing looks for tasks"] if self.runner.looked_s_ago() > late else []
