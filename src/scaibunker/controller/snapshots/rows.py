"""Between a snapshot's record and its row."""

from typing import Any

from sqlalchemy import RowMapping

from scaibunker.controller.bunkers.domain import ImageRef
from scaibunker.controller.snapshots.domain import Purpose, Snapshot
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.api.snapshots import SnapshotKind, SnapshotPhase, SnapshotStatus


def to_row(s: Snapshot) -> dict[str, Any]:
    """The columns of a record."""
    return {
        "id": s.id,
        "tenant_id": s.tenant_id,
        "owner_user_id": s.owner_user_id,
        "bunker_id": s.bunker_id,
        "name": s.name,
        "kind": s.kind.value,
        "purpose": s.purpose.value,
        "status": s.status.value,
        "status_reason": s.status_reason,
        "phase": s.phase.value if s.phase else None,
        "done_bytes": s.done_bytes,
        "total_bytes": s.total_bytes,
        "size_bytes": s.size_bytes,
        "manifest_sha256": s.manifest_sha256,
        "worker_id": s.worker_id,
        "base_snapshot_id": s.base_snapshot_id,
        "image_id": s.image.id,
        "image_name": s.image.name,
        "image_sha256": s.image.sha256,
        "image_size_bytes": s.image.size_bytes,
        "cpu_millicores": s.cpu_millicores,
        "memory_mb": s.memory_mb,
        "disk_mb": s.disk_mb,
        "network_profile": s.network_profile.value,
        "created_at": s.created_at,
        "moved_at": s.moved_at,
        "ready_at": s.ready_at,
        "expires_at": s.expires_at,
        "deleted_at": s.deleted_at,
        "cleared_at": s.cleared_at,
        "revision": s.revision,
    }


def from_row(row: RowMapping) -> Snapshot:
    """The record of a row."""
    fields = dict(row)
    image = ImageRef(
        id=fields.pop("image_id"),
        name=fields.pop("image_name"),
        sha256=fields.pop("image_sha256"),
        size_bytes=fields.pop("image_size_bytes"),
    )
    phase = row["phase"]
    typed = {
        "kind": SnapshotKind(row["kind"]),
        "purpose": Purpose(row["purpose"]),
        "status": SnapshotStatus(row["status"]),
        "phase": SnapshotPhase(phase) if phase else None,
        "network_profile": NetworkProfile(row["network_profile"]),
    }
    return Snapshot(**{**fields, **typed, "image": image})
