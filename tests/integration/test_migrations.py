"""From the database of the first release to the newest one, with rows in it."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData, insert, select
from sqlalchemy.engine import Connection

from scaibunker.controller.module import MODULE
from scaigrid.db import Database, guard, migrate
from scaigrid.ids import new_id
from scaigrid.settings import DatabaseSettings
from tests.servers import MariaDb

MODULES = [MODULE.migrations]
FIRST = ("grid_0001", "scaibunker_0001")
AT = datetime(2026, 1, 1, 12, 30, 15, 123456)  # noqa: DTZ001 - as it lies in the database
ROWS: Mapping[str, Mapping[str, Any]] = {
    "tenants": {"id": "ten_1", "name": "acme", "created_at": AT},
    "users": {
        "id": "usr_1",
        "tenant_id": "ten_1",
        "name": "ann",
        "role": "tenant_user",
        "created_at": AT,
    },
    "api_keys": {
        "id": "key_1",
        "tenant_id": "ten_1",
        "user_id": "usr_1",
        "name": "k",
        "prefix": "sgk_12345678",
        "digest": "d" * 64,
        "created_at": AT,
    },
    "scaibunker_images": {
        "id": "img_1",
        "owner": "platform",
        "name": "debian-12",
        "version": "1",
        "scope": "platform",
        "status": "ready",
        "created_at": AT,
    },
    "scaibunker_bunkers": {
        "id": "bnk_1",
        "tenant_id": "ten_1",
        "owner_user_id": "usr_1",
        "status": "running",
        "desired": "running",
        "image_id": "img_1",
        "image_name": "debian-12",
        "image_sha256": "0" * 64,
        "image_size_bytes": 1,
        "lifecycle_mode": "ephemeral",
        "labels": {"a": "b"},
        "env": {"SECRET": "\u00e9\U0001f600"},
        "network_profile": "isolated",
        "cpu_millicores": 1000,
        "memory_mb": 512,
        "disk_mb": 1024,
        "gpu_count": 0,
        "session_type": "none",
        "created_at": AT,
        "last_activity_at": AT,
    },
    "scaibunker_bunker_events": {
        "bunker_id": "bnk_1",
        "tenant_id": "ten_1",
        "status": "running",
        "at": AT,
    },
}


def tables_of(connection: Connection) -> MetaData:
    """The tables as they are, not as this version would have them."""
    found = MetaData()
    found.reflect(connection)
    return found


def first_release(connection: Connection) -> None:
    """The schema of the first release, and what it may have held."""
    settings = migrate.config(MODULES)
    settings.attributes["connection"] = connection
    for revision in FIRST:
        command.upgrade(settings, revision)
    tables = tables_of(connection).tables
    for name, row in ROWS.items():
        connection.execute(insert(tables[name]), _as_stored(connection, row))


def _as_stored(connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    """MariaDB says that its JSON is text."""
    is_text = connection.dialect.name != "sqlite"
    return {k: json.dumps(v) if is_text and isinstance(v, dict) else v for k, v in row.items()}


def rows_now(connection: Connection) -> dict[str, dict[str, Any]]:
    tables = tables_of(connection).tables
    with guard.lifted():
        return {n: dict(connection.execute(select(tables[n])).mappings().one()) for n in ROWS}


async def test_the_first_releases_rows_come_along(empty: Database) -> None:
    await empty.apply(first_release)
    with pytest.raises(migrate.SchemaBehind):
        await migrate.check(empty, MODULES)
    before = await empty.apply(rows_now)
    await migrate.upgrade(empty, MODULES)
    await migrate.check(empty, MODULES)
    after = await empty.apply(rows_now)
    for name, row in before.items():
        assert after[name].items() >= row.items(), name
    assert (after["tenants"]["status"], after["users"]["status"]) == ("active", "active")


async def test_a_migration_that_was_broken_off_is_run_again(empty: Database) -> None:
    """MariaDB keeps the tables of a revision whose number was not written down any more."""
    await empty.apply(first_release)
    await migrate.upgrade(empty, MODULES)

    def forget(connection: Connection) -> None:
        versions = tables_of(connection).tables["alembic_version"]
        connection.execute(versions.delete())
        connection.execute(insert(versions), [{"version_num": each} for each in FIRST[1:]])

    await empty.apply(forget)
    await migrate.upgrade(empty, MODULES)
    await migrate.check(empty, MODULES)


async def test_a_migration_is_not_bound_to_a_requests_time(mariadb_server: MariaDb) -> None:
    """Two at once on one database: the second waits for the first, then finds nothing to do."""
    url = mariadb_server.url(new_id("slow"))
    settings = DatabaseSettings(url=url, statement_timeout_s=0.05, busy_timeout_s=60)
    made = [Database(settings) for _ in range(2)]
    try:
        await asyncio.gather(*(migrate.upgrade(each, MODULES) for each in made))
        await migrate.check(made[0], MODULES)
    finally:
        for each in made:
            await each.close()


def test_every_revision_says_what_it_follows() -> None:
    """Two lines, each without branches: whoever adds a revision puts it at an end."""
    script = migrate.ScriptDirectory.from_config(migrate.config(MODULES))
    assert len(script.get_heads()) == 2
    assert Path(MODULE.migrations).is_dir()
