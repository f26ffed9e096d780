"""Times as callers give them."""

from datetime import UTC, datetime


def aware(time: datetime) -> datetime:
    """The time, which is of UTC if it names no zone."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
