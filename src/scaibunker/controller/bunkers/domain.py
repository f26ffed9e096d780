"""A bunker's record, and what is wanted of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from scaibunker.controller.bunkers.lifecycle import FINAL, State
from scaibunker.wire.api.bunkers import LifecycleMode, NetworkProfile, SessionType
from scaibunker.wire.api.snapshots import SnapshotKind


class Desired(StrEnum):
    """What somebody wants a bunker to be; the reconciler makes it so."""

    RUNNING = "running"
    PAUSED = "paused"
    PASSIVATED = "passivated"
    TERMINATED = "terminated"


class WakeKind(StrEnum):
    """What a passivated bunker is woken with."""

    FULL = "full"  # with its memory: its programs go on
    ELSEWHERE = "elsewhere"  # the same, though all workers so far have said that they cannot have such memory
    DISK = "disk"  # no worker can have its memory: it boots


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
    """What it may reach. `interfaces` for `transit` only: as they were asked for, and once their bridges are known
    with `bridge_id` and `worker_id`, and an address each."""

    profile: NetworkProfile
    allowlist: Sequence[str] | None = None
    interfaces: Sequence[Mapping[str, Any]] | None = None
    bandwidth_mbit: int | None = None

    @property
    def bound_to(self) -> str | None:
        """The worker that owns its bridges; None if it may be anywhere."""
        return self.interfaces[0].get("worker_id") if self.interfaces else None


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


@dataclass(frozen=True, slots=True)
class Source:
    """The stored snapshot that a bunker's machine is made of. `kind` is how: a `full` one goes on where
    it stood, a `disk` boots."""

    snapshot_id: str
    kind: SnapshotKind
    manifest_sha256: str


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
    the workers that could not build it.

    `source` is what its machine is made of, if not of its image alone. `capturing_snapshot_id` is what it
    is `snapshotting` for, and `captured_from` what it was before. One that is `passivated` has no machine
    and no worker; it sleeps in the snapshot `passive_snapshot_id`, which is made before. `passivated_from` is
    what was wanted of it before that, and `passivate_after` when it may be tried again after a failure, until
    it has slept.
    `base_snapshot_id` is the one that it slept in last, to which its next one may hold the differences.
    `waking_since`: somebody wants it awake. `wake_refusal` is why it was not woken the last time."""

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
    source: Source | None = None
    capturing_snapshot_id: str | None = None
    captured_from: State | None = None
    passivated: bool = False
    passive_snapshot_id: str | None = None
    base_snapshot_id: str | None = None
    passivated_from: Desired | None = None
    passivate_after: datetime | None = None
    waking_since: datetime | None = None
    wake_kind: WakeKind = WakeKind.FULL
    wake_refusal: Mapping[str, Any] | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self.status in FINAL

    @property
    def hostname(self) -> str:
        """Its host name: the id, in the characters of host names."""
        return self.id.replace("_", "-")

    @property
    def is_movable(self) -> bool:
        """Whether it may sleep, and wake up on another worker."""
        is_bound = self.network.profile is NetworkProfile.TRANSIT
        return self.lifecycle_mode is LifecycleMode.PERSISTENT and not is_bound

    @property
    def is_asleep(self) -> bool:
        """Whether it is passivated, or on its way there."""
        return self.passivated or self.desired is Desired.PASSIVATED

    @property
    def own_snapshots(self) -> tuple[str, ...]:
        """Those that are kept for its sake: which it sleeps in, and which its next one may rest upon."""
        named = (self.passive_snapshot_id, self.base_snapshot_id)
        return tuple(snapshot_id for snapshot_id in named if snapshot_id is not None)

    @property
    def idle_at(self) -> datetime | None:
        """When it has been idle for too long, if it was not used since its row was read."""
        return idle_at(self.last_activity_at, self.limits.idle_timeout_s)

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


def idle_at(last_activity_at: datetime, idle_timeout_s: int | None) -> datetime | None:
    """When a bunker has been idle for too long; None for one that is never."""
    if idle_timeout_s is None:
        return None
    return last_activity_at + timedelta(seconds=idle_timeout_s)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One move of a bunker; `sequence` grows with time. `passivated`: what it is from then on."""

    sequence: int
    bunker_id: str
    status: State
    previous: State | None
    reason: str | None
    at: datetime
    passivated: bool = False
