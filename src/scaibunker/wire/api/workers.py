"""Workers as an operator sees them. Source: the product contract, §10."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, StrictBool


class Amounts(BaseModel):
    """CPU in thousandths of a core, memory and disk in MiB, devices by type."""

    cpu_millicores: int
    memory_mb: int
    disk_mb: int
    gpus: dict[str, int] = Field(default_factory=dict)


class WorkerDrain(BaseModel):
    """Body of `POST /workers/{id}/drain`. `passivate`: put the bunkers to sleep that can wake up elsewhere."""

    model_config = ConfigDict(extra="forbid")

    passivate: StrictBool = False


class Worker(BaseModel):
    """A worker's record, and why it takes new bunkers or does not.

    `total` is what it may give away; `reserved` what its live bunkers hold of that, those that are
    still on their way included; `used` what those of them hold whose machines run or are frozen.
    `bunkers` counts the live ones, `bunkers_by_status` each sort. `takes_bunkers` says whether
    there can be new ones, `reasons` why not. `emptied_since`: since when those of its bunkers are
    passivated that can be. `registry_hosts`: what the network profile `registry` may reach here, host names and
    first-level wildcards. `default_bandwidth_mbit`: of bunkers that ask for none; null if it limits nothing.
    """

    id: str
    name: str
    status: str
    draining: bool
    emptied_since: datetime | None
    takes_bunkers: bool
    reasons: list[str]
    version: str
    protocol: int
    acceleration: str
    network_profiles: list[str]
    registry_hosts: list[str] = Field(default_factory=list)
    default_bandwidth_mbit: int | None = None
    cached_images: list[str]
    total: Amounts
    reserved: Amounts
    used: Amounts
    bunkers: int
    bunkers_by_status: dict[str, int]
    last_heartbeat_at: datetime
    heartbeat_age_s: float
