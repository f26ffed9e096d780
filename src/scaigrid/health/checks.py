"""The parts that a controller is made of, and what each must be like."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaigrid.auth.jwks import KeySet
from scaigrid.db import Database, migrate
from scaigrid.health.probe import Look
from scaigrid.live.store import LiveStore

MIN_FREE = 256 * 1024 * 1024
"""Bytes that must be free where SQLite keeps its file."""


def database(of: Database) -> Look:
    """It answers."""

    async def look() -> Sequence[str]:
        await of.ping()
        return ()

    return look


def redis(of: LiveStore) -> Look:
    """It answers. Nothing stops without it: see `scaigrid.live`."""

    async def look() -> Sequence[str]:
        await of.ping()
        return ()

    return look


def identity_provider(of: KeySet) -> Look:
    """Its key set can be read. API keys are good without it."""

    async def look() -> Sequence[str]:
        return () if of.is_readable else ("its key set cannot be read",)

    return look


def migrations(of: Database, modules: Sequence[Path]) -> Look:
    """The schema is the one that this version needs."""

    async def look() -> Sequence[str]:
        try:
            await migrate.check(of, modules)
        except migrate.SchemaBehind as behind:
            return (str(behind),)
        return ()

    return look


def loops(running: Mapping[str, "asyncio.Task[None]"]) -> Look:
    """The platform's own background work goes on."""

    async def look() -> Sequence[str]:
        return [f"{name} has ended" for name, task in running.items() if task.done()]

    return look


def disk(folder: Path) -> Look:
    """There is room for the database's file to grow."""

    async def look() -> Sequence[str]:
        usage = await asyncio.to_thread(shutil.disk_usage, folder)
        if usage.free >= MIN_FREE:
            return ()
        return (f"{usage.free >> 20} MiB are free, {MIN_FREE >> 20} should be",)

    return look
