"""Usage as callers see it."""

from datetime import datetime

from pydantic import BaseModel


class UsageEntry(BaseModel):
    """What was used in one interval, which begins at `start`, by the tenant, user, group or resource
    `key`. Cores, MiB and devices, each times the seconds for which they were held."""

    start: datetime
    key: str
    name: str | None
    tenant_id: str
    cpu_seconds: float
    memory_mb_seconds: float
    disk_mb_seconds: float
    gpu_seconds: float
    egress_bytes: int
