"""Snapshots: what a caller asks for and what it is told. Source: the product contract, §6."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scaibunker.wire.api.bunkers import Name

MAX_EXPIRES_IN_S = 10 * 366 * 86_400


class SnapshotKind(StrEnum):
    """What a snapshot has of its bunker."""

    DISK = "disk"  # the root file system, consistent
    FULL = "full"  # with memory and devices, so that what ran goes on


class SnapshotStatus(StrEnum):
    """How a snapshot stands."""

    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"  # `status_reason` says why; nothing can be made of it

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow but its end."""
        return self is not SnapshotStatus.CREATING


class SnapshotPhase(StrEnum):
    """How far one that is being created is. After `capturing` its bunker goes on."""

    CAPTURING = "capturing"  # the bunker stands still and is copied
    PACKING = "packing"  # the copy is compressed
    STORING = "storing"  # it is on its way to object storage


class SnapshotCreate(BaseModel):
    """Body of `POST /bunkers/{id}/snapshot`. Without `expires_in_s` it is kept until it is deleted, or
    for as long as the platform keeps any."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    kind: SnapshotKind
    expires_in_s: Annotated[int, Field(strict=True, ge=1, le=MAX_EXPIRES_IN_S)] | None = None


class Snapshot(BaseModel):
    """A snapshot's record.

    `image`, CPU (thousandths of a core), memory and disk (MiB) are those of the bunker it was made of.
    `done_bytes` of `total_bytes` are of the present phase, as far as is known; `progress`, 0 to 1, is of
    the whole. `size_bytes` is what is stored of it.
    """

    id: str
    tenant_id: str
    owner_user_id: str
    bunker_id: str
    name: str | None
    kind: SnapshotKind
    status: SnapshotStatus
    status_reason: str | None
    phase: SnapshotPhase | None
    done_bytes: int
    total_bytes: int
    progress: float
    size_bytes: int | None
    image: str
    image_id: str
    cpu_millicores: int
    memory_mb: int
    disk_mb: int
    created_at: datetime
    ready_at: datetime | None
    expires_at: datetime | None
