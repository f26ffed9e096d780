"""Shared metadata and column types."""

from datetime import MINYEAR, UTC, datetime

from sqlalchemy import DateTime, Dialect, MetaData
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables of the platform and of its modules; names are fixed so that migrations can find them."""

ID = 64
"""Length of an id column."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, kept to the microsecond. One beyond the calendar is its first or last."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware to naive UTC. A naive time is a programming error."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time has no place in the database")
        try:
            return value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # a time at the end of the calendar, in another zone
            return datetime.min if value.year == MINYEAR else datetime.max  # noqa: DTZ901

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Naive UTC to aware."""
        return None if value is None else value.replace(tzinfo=UTC)
