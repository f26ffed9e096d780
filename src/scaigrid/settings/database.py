"""The database."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from scaigrid.settings.base import Section

DRIVERS = ("sqlite", "sqlite+aiosqlite")


class DatabaseSettings(Section):
    """The database that holds every durable fact."""

    model_config = SettingsConfigDict(env_prefix="SCAIGRID_DATABASE_")

    url: str
    """Where the database is: `sqlite:///` and an absolute path (`sqlite+aiosqlite:///` is the same).
    Required."""

    pool_size: Annotated[int, Field(ge=1, le=100)] = 5
    """Connections that are kept open for reading."""

    busy_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10
    """How long a statement waits for another process's lock, in seconds."""

    @field_validator("url")
    @classmethod
    def _known_driver(cls, value: str) -> str:
        try:
            url = make_url(value)
        except ArgumentError:
            raise ValueError("not a database URL") from None
        if url.drivername not in DRIVERS:
            raise ValueError(f"the driver must be one of {', '.join(DRIVERS)}")
        if not url.database or not url.database.startswith("/"):
            raise ValueError("the path must be absolute (four slashes in all)")
        return value
