"""The database: migrations, units of work, and the writer of small things."""

import asyncio
from datetime import UTC, datetime
from importlib import import_module

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, insert, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from scaibunker.controller.module import MODULE
from scaigrid.audit.tables import audit_log
from scaigrid.db import Database, metadata, migrate
from scaigrid.db.batch import BatchWriter
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.ids import new_id
from scaigrid.settings import DatabaseSettings
from scaigrid.tenancy.tables import tenants, users
from tests.integration.inside import whole
from tests.servers import MariaDb

for room in (
    "audit",
    "accounting",
    "auth",
    "groups",
    "idempotency",
    "permissions",
    "tasks",
    "tenancy",
):
    import_module(f"scaigrid.{room}.tables")

MODULES = [MODULE.migrations]
ADD = insert(tenants)
ROW = {"created_at": datetime(2026, 1, 1, tzinfo=UTC)}


@pytest.fixture
async def database(empty: Database) -> Database:
    await migrate.upgrade(empty, MODULES)
    return empty


async def names(database: Database) -> set[str]:
    async with database.read() as db:
        return set(await db.values(whole(select(tenants.c.name))))


async def test_a_database_that_is_behind_is_refused_and_migrating_helps(empty: Database) -> None:
    with pytest.raises(migrate.SchemaBehind, match="SCAIGRID_MODE=migrate"):
        await migrate.check(empty, MODULES)
    await migrate.upgrade(empty, MODULES)
    await migrate.check(empty, MODULES)
    await migrate.upgrade(empty, MODULES)  # again changes nothing


async def test_half_a_schema_is_behind_too(empty: Database) -> None:
    await migrate.upgrade(empty, [])
    await migrate.check(empty, [])
    with pytest.raises(migrate.SchemaBehind):
        await migrate.check(empty, MODULES)


async def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    async with database.write() as db:
        await db.execute(text("DELETE FROM alembic_version"))
        await db.execute(text("INSERT INTO alembic_version VALUES ('from_the_future')"))
    with pytest.raises(migrate.SchemaBehind, match="newer"):
        await migrate.check(database, MODULES)


async def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.apply(differences) == []


async def test_the_audit_log_is_append_only(database: Database) -> None:
    entry = (
        "INSERT INTO audit_log (id, at, actor_type, action, method, path, outcome, status, request_id)"
        " VALUES ('aud_1', '2026-01-01', 'user', 'a', 'POST', '/', 'success', 200, 'req_1')"
    )
    await database.apply(lambda c: c.exec_driver_sql(entry))
    for change in ("UPDATE audit_log SET status = 500", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"):
            await database.apply(lambda c, change=change: c.exec_driver_sql(change))
    async with database.read() as db:
        assert await db.values(whole(select(audit_log.c.status))) == [200]


async def test_a_server_that_allows_no_triggers_is_good_enough(mariadb_server: MariaDb) -> None:
    name = new_id("plain")
    url = mariadb_server.url(name)
    rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, REFERENCES"
    mariadb_server.sql(
        f"CREATE USER {name} IDENTIFIED BY 'x'; GRANT {rights} ON `{name}`.* TO {name}"
    )
    database = Database(DatabaseSettings(url=url.replace("root@", f"{name}:x@")))
    await migrate.upgrade(database, MODULES)
    await migrate.check(database, MODULES)
    await database.close()
    assert mariadb_server.sql(f"SHOW TRIGGERS IN `{name}`") == ""


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    async def half() -> None:
        async with database.write() as db:
            await db.execute(ADD, {"id": "t1", "name": "one", **ROW})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await half()
    assert await names(database) == set()


async def test_a_write_that_is_cancelled_leaves_nothing_and_blocks_nobody(
    database: Database,
) -> None:
    inside = asyncio.Event()

    async def stuck() -> None:
        async with database.write() as db:
            await db.execute(ADD, {"id": "t1", "name": "one", **ROW})
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with database.write() as db:
        await db.execute(ADD, {"id": "t2", "name": "two", **ROW})
    assert await names(database) == {"two"}


async def test_a_cancellation_at_any_moment_leaves_the_database_usable(
    database: Database,
) -> None:
    async def one(number: int) -> None:
        async with database.write() as db:
            await db.execute(ADD, {"id": f"t{number}", "name": f"n{number}", **ROW})

    for number in range(60):
        task = asyncio.create_task(one(number))
        for _ in range(number % 12):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await one(1000)
    assert "n1000" in await names(database)


async def test_writers_that_lock_a_row_take_turns(database: Database) -> None:
    async with database.write() as db:
        await db.execute(ADD, {"id": "lock", "name": "lock", **ROW})

    async def add(number: int) -> None:
        async with database.write() as db:
            await db.row(whole(select(tenants).where(tenants.c.id == "lock").with_for_update()))
            count = await db.value(whole(select(func.count()).select_from(tenants)))
            await asyncio.sleep(0)
            await db.execute(ADD, {"id": f"t{count}", "name": f"n{count}", **ROW})

    await asyncio.gather(*(add(n) for n in range(20)))
    assert await names(database) == {"lock", *(f"n{n}" for n in range(1, 21))}


async def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as db:
            await db.execute(
                insert(users).values(
                    id="u", tenant_id="nobody", name="n", role="r", created_at=ROW["created_at"]
                )
            )


async def test_small_writes_are_durable_when_their_future_is_done(database: Database) -> None:
    writer = BatchWriter(database)
    writer.start()
    await writer.submit(ADD, {"id": "t1", "name": "one", **ROW})
    assert await names(database) == {"one"}
    for number in range(50):
        writer.submit(ADD, {"id": f"x{number}", "name": f"x{number}", **ROW}, urgent=False)
    await writer.flush()
    assert len(await names(database)) == 51
    await writer.stop()


async def test_a_bad_small_write_does_not_take_the_others_with_it(database: Database) -> None:
    writer = BatchWriter(database)
    good = writer.submit(ADD, {"id": "t1", "name": "one", **ROW})
    bad = writer.submit(ADD, {"id": "t1", "name": "double", **ROW})
    last = writer.submit(ADD, {"id": "t3", "name": "three", **ROW})
    writer.start()
    await asyncio.wait((good, bad, last))
    assert await names(database) == {"one", "three"}
    assert isinstance(bad.exception(), IntegrityError)
    assert good.exception() is None
    await writer.stop()


async def test_stopping_writes_what_is_left(database: Database) -> None:
    writer = BatchWriter(database)
    writer.start()
    writer.submit(ADD, {"id": "t1", "name": "late", **ROW}, urgent=False)
    await writer.stop()
    assert await names(database) == {"late"}


async def test_a_read_is_one_round_trip(mariadb_server: MariaDb) -> None:
    database = Database(DatabaseSettings(url=mariadb_server.url(new_id("reads"))))
    asked = text(
        "SELECT variable_value FROM information_schema.session_status "
        "WHERE variable_name = 'QUESTIONS'"
    )
    try:
        async with database.read() as db:
            first = int(await db.value(asked))
            second = int(await db.value(asked))
    finally:
        await database.close()
    assert second - first == 1  # no rollback, no ping between them


@pytest.mark.parametrize("breaks", [ValueError, asyncio.CancelledError])
async def test_a_read_that_breaks_off_leaves_its_connection_usable(
    empty: Database, breaks: type[BaseException]
) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        raise breaks

    async with empty.read() as db:
        for _ in range(20):  # more often than there are connections
            with pytest.raises(breaks):
                await db._run(work)
        assert await db.value(text("SELECT 1")) == 1


async def test_an_error_of_ours_in_a_transaction_stays_as_it_is(empty: Database) -> None:
    mine = DatabaseUnavailable("x", in_doubt=True)
    with pytest.raises(DatabaseUnavailable) as raised:
        async with empty.write():
            raise mine
    assert raised.value is mine
    assert mine.__cause__ is None


async def test_a_full_queue_refuses_before_anything_is_done(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaigrid.db.batch.MAX_PENDING", 1)
    writer = BatchWriter(database)  # and nobody empties it
    writer.submit(ADD, {"id": "t1", "name": "one", **ROW})
    with pytest.raises(DatabaseUnavailable):
        writer.submit(ADD, {"id": "t2", "name": "two", **ROW})
    writer.start()
    await writer.flush()
    await writer.stop()
    assert await names(database) == {"one"}
