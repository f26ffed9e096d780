"""Snapshots of machines: ordering one, how far it is, and what a stored one consists of."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from scaibunker.wire.bounds import Count, Reference, Short
from scaibunker.wire.worker.network import MAX_INTERFACES, MacAddress

SnapshotKind = Literal["disk", "full"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

MANIFEST_NAME = "manifest.json"
MANIFEST_LIMIT = 64 * 1024
"""Bytes of a manifest at most."""
DISK_PART = "disk.zst"
MEMORY_PART = "memory.zst"
DIGESTS_PART = "digests.zst"
"""What blocks the disk has, by which a later snapshot is known to differ from it; nothing is restored of it."""
EXECS_PART = "execs.zst"
"""What commands have written that the bunker goes on with when it wakes."""
MAX_CHAIN = 8
"""Snapshots below one that holds differences only; each is the base of the one before."""


class SnapshotPhase(StrEnum):
    """How far a snapshot is. The last two are final."""

    CAPTURING = "capturing"  # the machine stands still and is copied
    PACKING = "packing"  # the machine goes on; the copy is compressed
    STORING = "storing"  # the parts are on their way to object storage
    STORED = "stored"
    FAILED = "failed"  # `reason` says why; nothing is left of it


class SnapshotBase(BaseModel):
    """A stored snapshot that another one may hold the differences to."""

    model_config = ConfigDict(extra="forbid")

    snapshot_id: Reference
    manifest_sha256: Sha256


class SnapshotRequest(BaseModel):
    """Body of `POST /v1/machines/{bunker_id}/snapshot`.

    `base` may be used, and stays until this one is gone: the machine was made of it, or it is the last that
    was made of the machine here. It is left out where there is none: an older worker would refuse it. So is
    `keep_execs`: the bunker is to sleep in it, and the output of its commands is kept too.
    """

    model_config = ConfigDict(extra="forbid")

    snapshot_id: Reference
    kind: SnapshotKind
    base: SnapshotBase | None = None
    keep_execs: Literal[True] | None = None


class SnapshotStatus(BaseModel):
    """A worker's view of one snapshot. `done_bytes` of `total_bytes` are of the present phase, as far
    as is known. Once stored: `size_bytes` of all parts as they are stored, and the manifest's SHA-256,
    by which all of it can be verified. `base_snapshot_id` is what it depends on: None if it is whole."""

    snapshot_id: Reference
    bunker_id: Reference
    kind: SnapshotKind
    phase: SnapshotPhase
    reason: str | None = None
    done_bytes: Count = 0
    total_bytes: Count = 0
    size_bytes: Count = 0
    manifest_sha256: Sha256 | None = None
    base_snapshot_id: Reference | None = None


class SnapshotSource(BaseModel):
    """What a machine is made of instead of an empty disk: a stored snapshot.

    `kind`: `disk` boots from its disk, which a `full` one has too; `full` goes on with its memory.
    `keep_execs`: it is the same bunker that wakes up, and its commands are still its own.
    """

    model_config = ConfigDict(extra="forbid")

    snapshot_id: Reference
    kind: SnapshotKind
    manifest_sha256: Sha256
    keep_execs: bool = False


class SnapshotPart(BaseModel):
    """One stored object: its bytes as stored, and of what is made of it; of a disk `data_size` are no holes
    (None: nobody has counted)."""

    sha256: Sha256
    size: Count
    unpacked_size: Count
    data_size: Count | None = None


class SnapshotManifest(BaseModel):
    """Stored beside the parts, last. It names all that a restore depends on.

    `token_hex` opens the guest channel of a `full` snapshot until the restored machine has a token of its
    own; it is in the saved memory too. `state_format` is the VMM's, and None without memory; `macs` are those of the
    network devices in that memory. With a `base`
    (version 2) the disk is what differs from the base's disk; memory is always whole.
    """

    version: Literal[1, 2] = 1
    snapshot_id: Reference
    bunker_id: Reference
    tenant_id: str
    kind: SnapshotKind
    created_unix_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    worker_version: Short
    guest_protocol: Count
    state_format: str | None = None
    token_hex: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    image_sha256: Sha256
    image_size: Count
    vcpus: Annotated[int, Field(ge=1)]
    memory_mb: Annotated[int, Field(ge=1)]
    macs: Annotated[list[MacAddress], Field(max_length=MAX_INTERFACES)] = Field(
        default_factory=list
    )
    disk_mb: Annotated[int, Field(ge=1)]
    base: SnapshotBase | None = None
    parts: dict[Short, SnapshotPart]
