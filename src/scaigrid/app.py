"""Platform and modules put together as one ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from scaigrid.accounting.routes import AccountingEndpoints
from scaigrid.application import make_application
from scaigrid.audit.recorder import Recorder
from scaigrid.audit.routes import AuditEndpoints
from scaigrid.auth.bearer import Authenticator
from scaigrid.auth.jwks import key_set
from scaigrid.auth.jwt import Verifier
from scaigrid.auth.routes import IdentityEndpoints
from scaigrid.auth.service import ApiKeys
from scaigrid.clock import Clock, SystemClock
from scaigrid.db import Database, migrate
from scaigrid.groups.routes import GroupEndpoints
from scaigrid.groups.service import Groups
from scaigrid.health import checks
from scaigrid.health.probe import Probe
from scaigrid.health.routes import HealthEndpoints
from scaigrid.http.access import PlatformGate
from scaigrid.http.routes import Enforcement, install
from scaigrid.http.sse import Stopping
from scaigrid.idempotency.service import Idempotency
from scaigrid.limits.service import RateLimits
from scaigrid.live.bus import Bus
from scaigrid.live.store import LiveStore
from scaigrid.metrics.lag import LoopLag
from scaigrid.metrics.registry import Metrics
from scaigrid.metrics.requests import RequestMetrics
from scaigrid.metrics.routes import MetricsEndpoints
from scaigrid.module import Assembly, Module, Platform, assemble
from scaigrid.permissions.domain import Permissions
from scaigrid.permissions.routes import CustomRoleEndpoints, UserPermissionEndpoints
from scaigrid.permissions.service import CustomRoles
from scaigrid.permissions.users import PermissionsOfUsers
from scaigrid.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    JwtSettings,
    RateLimitSettings,
    RedisSettings,
    TracingSettings,
)
from scaigrid.tasks.domain import Task
from scaigrid.tasks.runner import register
from scaigrid.tenancy.modules import TenantModules
from scaigrid.tenancy.routes import PartnerEndpoints, TenantEndpoints, UserEndpoints
from scaigrid.tenancy.tenants import Partners, Tenants
from scaigrid.tenancy.users import Users
from scaigrid.tracing.export import Tracing


@dataclass(frozen=True, slots=True)
class GridSettings:
    """The platform's own sections."""

    http: HttpSettings
    database: DatabaseSettings
    redis: RedisSettings
    auth: AuthSettings
    jwt: JwtSettings
    rate_limits: RateLimitSettings
    tracing: TracingSettings


class Grid:
    """The process: the application, and what lives as long as it does."""

    def __init__(
        self, settings: GridSettings, modules: Sequence[Module], clock: Clock | None = None
    ) -> None:
        self.clock = clock or SystemClock()
        self.stopping = Stopping()
        self.metrics = Metrics()
        self._tracing = Tracing(settings.tracing)
        self.database = Database(settings.database, self.metrics)
        self.live = LiveStore(settings.redis, self.metrics)
        self.bus = Bus(self.live)
        self.idempotency = Idempotency(self.database)
        self.audit = Recorder(self.database, self.clock, self.metrics)
        self._modules = tuple(modules)
        permissions = Permissions(key for module in modules for key in module.permissions)
        self.permissions = permissions
        self._key_set = key_set(settings.jwt, self.clock)
        authenticator = Authenticator(
            self.database,
            permissions,
            self.bus,
            self.clock,
            settings.auth,
            Verifier(settings.jwt, self._key_set),
        )
        platform = Platform(
            self.database, self.live, self.bus, self.clock, self.stopping, self.metrics
        )
        self.assemblies = assemble(modules, platform)
        self._lag = LoopLag(self.metrics)
        self._loops: dict[str, asyncio.Task[None]] = {}
        self.app = make_application(
            self._lifespan, RequestMetrics(self.metrics), self._tracing.requests, self.audit
        )
        rooms = [
            HealthEndpoints(self._probes(settings.database)).routes(),
            MetricsEndpoints(self.metrics, settings.http.metrics_token).routes(),
            IdentityEndpoints(ApiKeys(self.database, authenticator)).routes(),
            PartnerEndpoints(Partners(self.database)).routes(),
            TenantEndpoints(
                Tenants(self.database, authenticator),
                TenantModules(self.database, authenticator, {m.id: m.title for m in modules}),
            ).routes(),
            UserEndpoints(Users(self.database, authenticator)).routes(),
            UserPermissionEndpoints(
                PermissionsOfUsers(self.database, permissions, authenticator)
            ).routes(),
            GroupEndpoints(Groups(self.database, authenticator)).routes(),
            CustomRoleEndpoints(CustomRoles(self.database, permissions, authenticator)).routes(),
            AuditEndpoints(self.database, self.audit).routes(),
            AccountingEndpoints(
                self.database, {m.resource: m.id for m in modules if m.resource}
            ).routes(),
            *(
                routes.of_module(module.id)
                for module, assembly in zip(self._modules, self.assemblies, strict=True)
                for routes in assembly.routes
            ),
        ]
        limits = RateLimits(self.live, settings.rate_limits, self.metrics)
        enforcement = Enforcement(
            PlatformGate(authenticator, limits, self.clock),
            self.idempotency,
            settings.http.json_limit_bytes,
            settings.http.body_timeout_s,
        )
        install(self.app, rooms, enforcement)

    @property
    def tasks(self) -> list[Task]:
        """What background workers have to do."""
        return [self.idempotency.task(), *(t for each in self.assemblies for t in each.tasks)]

    @property
    def migrations(self) -> list[Path]:
        """The folders with the modules' revisions."""
        return [module.migrations for module in self._modules]

    def _probes(self, settings: DatabaseSettings) -> list[Probe]:
        """What the health of this process is made of."""
        probes = [
            Probe("database", checks.database(self.database), needed=True),
            Probe("redis", checks.redis(self.live), needed=False),
            Probe(
                "migrations",
                checks.migrations(self.database, self.migrations),
                needed=False,
                keep_s=30,
            ),
            Probe("loops", checks.loops(self._loops), needed=False),
        ]
        if self._key_set is not None:
            look = checks.identity_provider(self._key_set)
            probes.append(Probe("identity provider", look, needed=False))
        if settings.file is not None:
            probes.append(Probe("disk", checks.disk(settings.file.parent), needed=False))
        for module, assembly in zip(self._modules, self.assemblies, strict=True):
            probes.append(Probe(f"module {module.id}", assembly.faults, needed=True))
        return probes

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Refuse a schema that is behind, run what the modules run, and stop it all."""
        await migrate.check(self.database, self.migrations)
        await register(self.database, self.clock, self.tasks)
        await self.bus.start()
        self.audit.start()
        started: list[Assembly] = []
        self._loops["loop_lag"] = asyncio.create_task(self._lag.run())
        if self._key_set is not None:
            self._loops["jwks"] = asyncio.create_task(self._key_set.run())
        try:
            for assembly in self.assemblies:
                started.append(assembly)
                await assembly.start()
            yield
        finally:
            self.stopping.set()
            for loop in self._loops.values():
                loop.cancel()
            await asyncio.gather(*self._loops.values(), return_exceptions=True)
            for assembly in reversed(started):
                await assembly.stop()
            await self.audit.stop()
            await self.bus.stop()
            await self.live.close()
            await self.database.close()
            await self._tracing.close()
