"""A mode of a module's own: some of its operations, in a process without database and Redis.

Such a process keeps nothing and knows no persons, so that any number of them stand behind a load
balancer. Its operations are for `http.access.Impersonal` alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import FastAPI

from scaigrid.application import make_application
from scaigrid.clock import Clock, SystemClock
from scaigrid.health.routes import HealthEndpoints
from scaigrid.http.access import ImpersonalGate
from scaigrid.http.routes import Enforcement, install
from scaigrid.http.sse import Stopping
from scaigrid.metrics.lag import LoopLag
from scaigrid.metrics.registry import Metrics
from scaigrid.metrics.requests import RequestMetrics
from scaigrid.metrics.routes import MetricsEndpoints
from scaigrid.module import Module, Standalone, StandalonePlatform
from scaigrid.settings import HttpSettings, TracingSettings
from scaigrid.tracing.export import Tracing


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """The platform's sections that such a process needs."""

    http: HttpSettings
    tracing: TracingSettings


class StandaloneGrid:
    """The process: the application of one mode, and what lives as long as it does."""

    def __init__(
        self,
        settings: StandaloneSettings,
        module: Module,
        mode: Standalone,
        clock: Clock | None = None,
    ) -> None:
        self.stopping = Stopping()
        self.metrics = Metrics()
        self._clock = clock or SystemClock()
        self._tracing = Tracing(settings.tracing)
        self._lag = LoopLag(self.metrics)
        platform = StandalonePlatform(self._clock, self.stopping, self.metrics.of_module(module.id))
        self._assembly = mode.assemble(platform)
        self.app: FastAPI = make_application(
            self._lifespan, RequestMetrics(self.metrics), self._tracing.requests, None
        )
        rooms = [
            HealthEndpoints(self._assembly.probes).routes(detailed=False),
            MetricsEndpoints(self.metrics, settings.http.metrics_token).routes(),
            *self._assembly.routes,
        ]
        enforcement = Enforcement(
            ImpersonalGate(self._clock),
            None,
            settings.http.json_limit_bytes,
            settings.http.body_timeout_s,
        )
        install(self.app, rooms, enforcement)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        lag = asyncio.create_task(self._lag.run())
        try:
            yield
        finally:
            self.stopping.set()
            lag.cancel()
            await asyncio.gather(lag, return_exceptions=True)
            await self._tracing.close()
