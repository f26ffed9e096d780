"""The database."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from scaigrid.settings.base import Section

SQLITE = ("sqlite", "sqlite+aiosqlite")
MARIADB = ("mariadb", "mariadb+asyncmy", "mysql", "mysql+asyncmy")


class DatabaseSettings(Section):
    """The database that holds every durable fact."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_DATABASE_")

    url: str = Field(repr=False)
    """Where the database is: `mariadb://user:password@host/name` (MariaDB 10.11 or later, also
    through `?unix_socket=`), or `sqlite:///` and an absolute path, for a single process on one
    machine. Required."""

    pool_size: Annotated[int, Field(ge=1, le=1000)] = 5
    """Connections that are kept open for reading."""

    write_pool_size: Annotated[int, Field(ge=1, le=1000)] = 5
    """Connections that are kept open for writing. SQLite has one, whatever this says."""

    pool_recycle_s: Annotated[int, Field(ge=1, le=86_400)] = 1800
    """How old a connection to MariaDB may become, in seconds."""

    connect_timeout_s: Annotated[int, Field(ge=1, le=300)] = 5
    """How long connecting to MariaDB may take, in seconds."""

    busy_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10
    """How long a statement waits for a lock that another holds, or for a free connection, in
    seconds."""

    statement_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10
    """How long a statement may run on MariaDB, in seconds. A server that has not answered 5 s after
    that (or after `busy_timeout_s`, if it is longer) counts as hung: the connection is given up."""

    retry_s: Annotated[float, Field(ge=0, le=300)] = 3
    """How long a database that does not answer is asked again, where that is safe, before the
    request is refused with 503, in seconds."""

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite; MariaDB otherwise."""
        return make_url(self.url).drivername in SQLITE

    @property
    def file(self) -> Path | None:
        """SQLite's file."""
        name = make_url(self.url).database
        return Path(name) if self.is_sqlite and name else None

    @field_validator("url")
    @classmethod
    def _known_driver(cls, value: str) -> str:
        try:
            url = make_url(value)
        except ArgumentError:
            raise ValueError("not a database URL") from None
        if url.drivername in SQLITE:
            if not url.database or not url.database.startswith("/"):
                raise ValueError("the path must be absolute (four slashes in all)")
        elif url.drivername not in MARIADB:
            raise ValueError(f"the driver must be one of {', '.join((*SQLITE, *MARIADB))}")
        elif not url.database:
            raise ValueError("it must name the database")
        return value
