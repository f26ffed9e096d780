"""A bunker's record, and what is wanted of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from scaibunker.controller.bunkers.lifecycle import FINAL, State
from scaibunker.wire.api.bunkers import LifecycleMode, NetworkProfile, SessionType


class Desired(StrEnum):
    """What somebody wants a bunker to be; the reconciler makes it so."""

    RUNNING = "running"
    PAUSED = "paused"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a bunker holds of its worker: thousandths of a core, MiB, devices."""

    cpu_millicores: int
    memory_mb: int
    disk_mb: int
    gpu_count: int = 0
    gpu_type: str | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """What it may reach. `interfaces` as they were asked for, for `transit` only."""

    profile: NetworkProfile
    allowlist: Sequence[str] | None = None
    interfaces: Sequence[Mapping[str, Any]] | None = None
    bandwidth_mbit: int | None = None


@dataclass(frozen=True, slots=True)
class ImageRef:
    """The image as it was when the bunker was created: a later change does not reach it."""

    id: str
    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; None is no limit."""

    max_lifetime_s: int | None
    idle_timeout_s: int | None


DEFAULT_LIMITS: Mapping[LifecycleMode, Limits] = {
    LifecycleMode.EPHEMERAL: Limits(3600, 300),
    LifecycleMode.SESSION: Limits(28_800, 900),
    LifecycleMode.PERSISTENT: Limits(None, 900),
}


@dataclass(frozen=True, slots=True)
class Bunker:
    """One bunker. `placed_at` is when its present worker was chosen; `desired_reason` becomes the
    status reason once it is done; `revision` counts the changes of what it is, of what is wanted of
    it and of its worker. `gpu_type_held` is the type of the devices that it has; `refused_by` are
    the workers that could not build it."""

    id: str
    tenant_id: str
    owner_user_id: str
    name: str | None
    status: State
    status_reason: str | None
    desired: Desired
    desired_reason: str | None
    image: ImageRef
    lifecycle_mode: LifecycleMode
    labels: Mapping[str, str]
    env: Mapping[str, str]
    network: Network
    shape: Shape
    limits: Limits
    session_type: SessionType
    session_ref: str | None
    worker_id: str | None
    created_at: datetime
    placed_at: datetime | None
    started_at: datetime | None
    terminated_at: datetime | None
    last_activity_at: datetime
    expires_at: datetime | None
    revision: int = 0
    gpu_type_held: str | None = None
    refused_by: Sequence[str] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self.status in FINAL

    @property
    def hostname(self) -> str:
        """Its host name: the id, in the characters of host names."""
        return self.id.replace("_", "-")

    @property
    def idle_at(self) -> datetime | None:
        """When it has been idle for too long, if it was not used since its row was read."""
        return idle_at(self.lifecycle_mode, self.last_activity_at, self.limits.idle_timeout_s)

    def overdue(self, now: datetime, last_activity_at: datetime) -> str | None:
        """Why its time is up, or None. Persistent bunkers are never ended by their limits."""
        if self.lifecycle_mode is LifecycleMode.PERSISTENT:
            return None
        if self.expires_at is not None and now >= self.expires_at:
            return f"its lifetime of {self.limits.max_lifetime_s} s is over"
        idle = self.limits.idle_timeout_s
        if idle is None or self.status not in (State.RUNNING, State.PAUSED):
            return None
        if now >= last_activity_at + timedelta(seconds=idle):
            return f"it was idle for {idle} s"
        return None


def idle_at(
    mode: LifecycleMode, last_activity_at: datetime, idle_timeout_s: int | None
) -> datetime | None:
    """When a bunker has been idle for too long; None for one that is never ended for that."""
    if mode is LifecycleMode.PERSISTENT or idle_timeout_s is None:
        return None
    return last_activity_at + timedelta(seconds=idle_timeout_s)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One move of a bunker; `sequence` grows with time."""

    sequence: int
    bunker_id: str
    status: State
    previous: State | None
    reason: str | None
    at: datetime
