"""A snapshot's record, and the rules about it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scaibunker.controller.bunkers.domain import ImageRef
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.api.snapshots import SnapshotKind, SnapshotPhase, SnapshotStatus


class Purpose(StrEnum):
    """What a snapshot is made for."""

    USER = "user"  # somebody asked for it
    PASSIVATION = "passivation"  # its bunker sleeps in it; nobody is shown it
    TERMINATION = "termination"  # its bunker ends when it is ready


class Need(StrEnum):
    """What of a stored snapshot something depends on."""

    NOTHING = "nothing"
    DISK = "disk"  # another snapshot holds the differences to it
    WHOLE = "whole"  # a bunker is made of it, or sleeps in it


_BEFORE: dict[SnapshotPhase, float] = {
    SnapshotPhase.CAPTURING: 0.0,
    SnapshotPhase.PACKING: 0.3,
    SnapshotPhase.STORING: 0.6,
}
"""How much of the whole is done when a phase begins."""
_SHARE = {SnapshotPhase.CAPTURING: 0.3, SnapshotPhase.PACKING: 0.3, SnapshotPhase.STORING: 0.4}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot, with what is needed to make a bunker of it whatever has become of its own.

    `worker_id` made it. `base_snapshot_id` is what it holds the differences to; until it is ready, what it
    may.  `moved_at` is when it was last seen to get on. `deleted_at`: since then it does
    not exist for its users; its objects stay while something depends on them. `cleared_at`: since then
    nothing of it is stored. `revision` counts its changes.
    """

    id: str
    tenant_id: str
    owner_user_id: str
    bunker_id: str
    name: str | None
    kind: SnapshotKind
    purpose: Purpose
    status: SnapshotStatus
    status_reason: str | None
    phase: SnapshotPhase | None
    done_bytes: int
    total_bytes: int
    size_bytes: int | None
    manifest_sha256: str | None
    worker_id: str | None
    base_snapshot_id: str | None
    image: ImageRef
    cpu_millicores: int
    memory_mb: int
    disk_mb: int
    network_profile: NetworkProfile
    created_at: datetime
    moved_at: datetime
    ready_at: datetime | None = None
    expires_at: datetime | None = None
    deleted_at: datetime | None = None
    cleared_at: datetime | None = None
    revision: int = 0

    @property
    def is_usable(self) -> bool:
        """Whether a bunker can be made of it now."""
        is_there = self.deleted_at is None and self.manifest_sha256 is not None
        return is_there and self.status is SnapshotStatus.READY

    @property
    def holds_bunker(self) -> bool:
        """Whether its bunker stands still for it: until it is copied, or, if it is to sleep or to end
        then, until it is ready."""
        if self.status.is_final:
            return False
        return self.purpose is not Purpose.USER or self.phase in (None, SnapshotPhase.CAPTURING)

    @property
    def progress(self) -> float:
        """How much of the whole is done, from 0 to 1."""
        if self.status is SnapshotStatus.READY:
            return 1.0
        if self.phase is None:
            return 0.0
        part = min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0
        return round(_BEFORE[self.phase] + _SHARE[self.phase] * part, 4)
