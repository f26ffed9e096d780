"""The process's entry: what it is, is said by `SCAIGRID_MODE`."""

import asyncio
import functools
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import structlog

from scaigrid import logs
from scaigrid.app import Grid, GridSettings
from scaigrid.auth import first
from scaigrid.db import Database, migrate
from scaigrid.http.server import make_server
from scaigrid.module import Module, Standalone, installed
from scaigrid.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    JwtSettings,
    RateLimitSettings,
    RedisSettings,
    SettingsError,
    TaskSettings,
    TracingSettings,
    check_file,
    read_section,
)
from scaigrid.standalone import StandaloneGrid, StandaloneSettings
from scaigrid.tasks.process import Background, BackgroundSettings

MODE = "SCAIGRID_MODE"
USAGE = 2
"""Exit status for a start that the settings do not allow."""


def grid_settings() -> GridSettings:
    """The sections of `http`, as the environment says. Raises SettingsError."""
    return GridSettings(
        http=read_section(HttpSettings),
        database=read_section(DatabaseSettings),
        redis=read_section(RedisSettings),
        auth=read_section(AuthSettings),
        jwt=read_section(JwtSettings),
        rate_limits=read_section(RateLimitSettings),
        tracing=read_section(TracingSettings),
    )


def serve() -> int:
    """`http`: the API."""
    modules = installed()
    _check_file(modules)
    settings = grid_settings()
    logs.configure(settings.http.log_level)
    asyncio.run(_with_database(settings.database, migrate.check, modules))
    grid = Grid(settings, modules)
    server = make_server(grid, settings.http)
    server.run()
    return 0 if server.started else 1


def work() -> int:
    """`worker`: the background tasks."""
    modules = installed()
    _check_file(modules)
    http = read_section(HttpSettings)
    settings = BackgroundSettings(
        database=read_section(DatabaseSettings),
        redis=read_section(RedisSettings),
        tasks=read_section(TaskSettings),
        metrics_token=http.metrics_token,
    )
    logs.configure(http.log_level)
    asyncio.run(Background(settings, modules).run_until_told())
    return 0


def upgrade() -> int:
    """`migrate`: bring the schema up to date, see to a first super-admin, then exit."""
    modules = installed()
    _check_file(modules)
    settings, first_key = read_section(DatabaseSettings), read_section(AuthSettings).first_key
    logs.configure()
    log = structlog.get_logger(__name__)

    async def prepare(database: Database, revisions: Sequence[Path]) -> None:
        await migrate.upgrade(database, revisions)
        log.info("schema is up to date")
        if first_key is not None and await first.admit(database, first_key):
            log.info("made the first super-admin", tenant=first.TENANT, user=first.USER)

    asyncio.run(_with_database(settings, prepare, modules))
    return 0


def stand_alone(module: Module, mode: Standalone) -> int:
    """A mode of a module's own."""
    _check_file(installed())
    http = read_section(HttpSettings)
    if "port" not in http.model_fields_set:
        http = http.model_copy(update={"port": mode.port})
    settings = StandaloneSettings(http=http, tracing=read_section(TracingSettings))
    logs.configure(http.log_level)
    server = make_server(StandaloneGrid(settings, module, mode), http)
    server.run()
    return 0 if server.started else 1


def of_modules(modules: Sequence[Module]) -> dict[str, Callable[[], int]]:
    """The modes that modules have of their own."""
    return {
        each.mode: functools.partial(stand_alone, module, each)
        for module in modules
        for each in module.standalone
    }


def _check_file(modules: Sequence[Module]) -> None:
    own = (
        HttpSettings,
        DatabaseSettings,
        RedisSettings,
        AuthSettings,
        JwtSettings,
        RateLimitSettings,
        TracingSettings,
        TaskSettings,
    )
    check_file([*own, *(section for module in modules for section in module.settings)])


async def _with_database(
    settings: DatabaseSettings,
    task: Callable[[Database, Sequence[Path]], Awaitable[None]],
    modules: Sequence[Module],
) -> None:
    database = Database(settings)
    try:
        await task(database, [module.migrations for module in modules])
    finally:
        await database.close()


MODES: Mapping[str, Callable[[], int]] = MappingProxyType(
    {"http": serve, "worker": work, "migrate": upgrade}
)


def main() -> None:
    """Run the mode that the environment names."""
    mode = os.environ.get(MODE, "")
    modes = MODES if mode in MODES else {**MODES, **of_modules(installed())}
    if mode not in modes:
        sys.exit(_refuse(f"{MODE} must be one of {', '.join(modes)}; it is {mode!r}"))
    try:
        sys.exit(modes[mode]())
    except (SettingsError, migrate.SchemaBehind) as error:
        sys.exit(_refuse(str(error)))


def _refuse(why: str) -> int:
    print(f"scaigrid: {why}", file=sys.stderr)
    return USAGE
