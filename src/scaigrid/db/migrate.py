"""Bringing the schema up to date, and refusing to run on one that is not.

The platform and each module have a line of revisions of their own (an Alembic branch), in
their own package; a module's first revision depends on the platform's. `SCAIGRID_MODE=migrate`
upgrades all lines to their heads.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import Connection

from scaigrid.db import guard
from scaigrid.db.engine import Database
from scaigrid.db.errors import DatabaseBusy

LOCK_S = 300
"""How long to wait for another process that migrates."""
HERE = Path(__file__).parent / "migrations"


class SchemaBehind(Exception):
    """The database's schema is not the one that this version needs."""


def config(modules: Sequence[Path]) -> Config:
    """Alembic's configuration; `modules` are the folders with the modules' revisions."""
    made = Config()
    made.set_main_option("script_location", str(HERE).replace("%", "%%"))
    locations = [HERE / "versions", *modules]
    made.set_main_option("path_separator", "newline")
    made.set_main_option("version_locations", "\n".join(map(str, locations)).replace("%", "%%"))
    return made


async def upgrade(database: Database, modules: Sequence[Path]) -> None:
    """Run every revision that is missing. Does nothing if none is.

    On SQLite all of them are one transaction. MariaDB commits each change of the schema by itself,
    so a revision there is written to be run again if it was broken off (`if_not_exists`), and only
    one process migrates at a time.
    """
    settings = config(modules)

    def run(connection: Connection) -> None:
        settings.attributes["connection"] = connection
        with guard.lifted(), _alone(connection):
            command.upgrade(settings, "heads")

    patient = database.unhurried()
    try:
        await patient.apply(run)
    finally:
        await patient.close()


async def check(database: Database, modules: Sequence[Path]) -> None:
    """Raise SchemaBehind unless the database is at the newest revision of every line."""
    script = _revisions(tuple(modules))
    found = set(await database.apply(lambda c: MigrationContext.configure(c).get_current_heads()))
    try:
        # A line that another one depends on is not among the heads of the database.
        reached = {each.revision for each in script.get_all_current(tuple(found))}
    except CommandError:
        raise SchemaBehind(
            f"the database is at {_names(found)}, which this version does not know; "
            "it was migrated by a newer one"
        ) from None
    wanted = set(script.get_heads())
    if not wanted <= reached:
        raise SchemaBehind(
            f"the database is at {_names(found)}, this version needs {_names(wanted)}; "
            "run SCAIGRID_MODE=migrate first"
        )


@functools.cache
def _revisions(modules: tuple[Path, ...]) -> ScriptDirectory:
    """All lines, as they were when they were first read: health is asked for every few seconds, and each
    revision is a program to be run."""
    return ScriptDirectory.from_config(config(modules))


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold a lock against other migrating processes; SQLite's one writer needs none."""
    if connection.dialect.name == "sqlite":
        yield
        return
    if connection.scalar(text("SELECT GET_LOCK('scaigrid_migrate', :s)"), {"s": LOCK_S}) != 1:
        raise DatabaseBusy("Another process is migrating the database.")
    try:
        yield
        # Who comes next must see the number of the last revision.
        connection.execute(text("COMMIT"))
    finally:
        connection.execute(text("DO RELEASE_LOCK('scaigrid_migrate')"))


def _names(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "no revision"
