"""Ticks, and what is summed over them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What was used: cores, MiB and devices, each times seconds; and bytes sent."""

    cpu_seconds: float = 0.0
    memory_mb_seconds: float = 0.0
    disk_mb_seconds: float = 0.0
    gpu_seconds: float = 0.0
    egress_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """What one resource used in the minute that begins at `minute`. The owner is the one that it
    had then: sums do not change when people do."""

    resource_id: str
    minute: datetime
    tenant_id: str
    user_id: str
    amounts: Amounts


class Grouping(StrEnum):
    """Whose usage is summed, beside that of each single resource."""

    TENANT = "tenant"
    USER = "user"
    GROUP = "group"


class Interval(StrEnum):
    """Over what time. Hours and days are those of UTC."""

    HOUR = "hour"
    DAY = "day"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Usage:
    """One sum: of what is named by `key`, in the interval from `start` on."""

    start: datetime
    key: str
    tenant_id: str
    amounts: Amounts


def minute_of(time: datetime) -> datetime:
    """When the minute of a time began."""
    return time.replace(second=0, microsecond=0)
