"""What a module declares to the platform, and what the platform gives it.

A distribution offers a module by an entry point of the group `scaigrid.modules` whose value is a
`Module`. The platform loads all of them: their permission keys, their migrations, their routes,
and their background tasks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.health.probe import Probe
from scaigrid.http.routes import Routes
from scaigrid.http.sse import Stopping
from scaigrid.live.bus import Bus
from scaigrid.live.store import LiveStore
from scaigrid.metrics.registry import Metrics
from scaigrid.permissions.domain import PermissionKey
from scaigrid.settings import Section
from scaigrid.tasks.domain import Task

GROUP = "scaigrid.modules"


@dataclass(frozen=True, slots=True)
class Platform:
    """What a module gets from the platform. Names of its `metrics` begin with its id."""

    database: Database
    live: LiveStore
    bus: Bus
    clock: Clock
    stopping: Stopping
    metrics: Metrics


class Assembly(Protocol):
    """A module put together with its settings; nothing runs before `start`.

    It is started where its operations are served. In a background worker it is not: its tasks
    alone run there, and their work uses nothing but the platform.
    """

    @property
    def routes(self) -> Sequence[Routes]:
        """Its operations."""
        ...

    @property
    def tasks(self) -> Sequence[Task]:
        """What background workers do for it."""
        ...

    async def start(self) -> None:
        """Start what runs in the background."""
        ...

    async def stop(self) -> None:
        """Stop it, within a few seconds."""
        ...

    async def faults(self) -> list[str]:
        """Why it cannot serve now; empty if it can."""
        ...


@dataclass(frozen=True, slots=True)
class StandalonePlatform:
    """What a module gets for a mode of its own."""

    clock: Clock
    stopping: Stopping
    metrics: Metrics


class StandaloneAssembly(Protocol):
    """Operations of a module that need neither persons nor a database."""

    @property
    def routes(self) -> Sequence[Routes]:
        """The operations."""
        ...

    @property
    def probes(self) -> Sequence[Probe]:
        """What their process needs to serve."""
        ...


@dataclass(frozen=True, slots=True)
class Standalone:
    """A mode of a module's own (`scaigrid.standalone`): the value of `SCAIGRID_MODE`, the port it
    listens on unless told otherwise, and what it serves. `assemble` reads the module's settings (it
    raises SettingsError) and makes no connection."""

    mode: str
    port: int
    assemble: Callable[[StandalonePlatform], StandaloneAssembly]


@dataclass(frozen=True, slots=True)
class Module:
    """A feature of the platform.

    `assemble` reads the module's settings (it raises SettingsError) and makes no connection.
    `resource` is what usage is accounted for, in one word, if any is.
    """

    id: str
    title: str
    permissions: tuple[PermissionKey, ...]
    migrations: Path
    settings: tuple[type[Section], ...]
    assemble: Callable[[Platform], Assembly]
    resource: str | None = None
    standalone: tuple[Standalone, ...] = ()


def assemble(modules: Sequence[Module], platform: Platform) -> list[Assembly]:
    """All of them, each with metrics under its own name. Raises SettingsError."""
    return [
        module.assemble(replace(platform, metrics=platform.metrics.of_module(module.id)))
        for module in modules
    ]


def installed() -> list[Module]:
    """The modules of this installation, by id."""
    found = [point.load() for point in entry_points(group=GROUP)]
    for module in found:
        if not isinstance(module, Module):
            raise TypeError(f"an entry point of {GROUP} is a {type(module).__name__}, no Module")
    return sorted(found, key=lambda module: module.id)
