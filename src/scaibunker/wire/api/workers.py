"""Workers as an operator sees them. Source: the product contract, §10."""

from datetime import datetime

from pydantic import BaseModel


class Amounts(BaseModel):
    """CPU in thousandths of a core, memory and disk in MiB."""

    cpu_millicores: int
    memory_mb: int
    disk_mb: int


class Worker(BaseModel):
    """A worker's record. `used` is what its live bunkers hold."""

    id: str
    name: str
    status: str
    version: str
    acceleration: str
    network_profiles: list[str]
    total: Amounts
    used: Amounts
    bunkers: int
    last_heartbeat_at: datetime
    heartbeat_age_s: float
