"""Between a bunker's record and its row."""

from typing import Any

from sqlalchemy import RowMapping

from scaibunker.controller.bunkers.domain import (
    Bunker,
    Desired,
    ImageRef,
    Limits,
    Network,
    Shape,
    Source,
    StatusChange,
    WakeKind,
)
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.wire.api.bunkers import LifecycleMode, NetworkProfile, SessionType
from scaibunker.wire.api.snapshots import SnapshotKind


def to_row(b: Bunker) -> dict[str, Any]:
    """The columns of a record."""
    return {
        "id": b.id,
        "tenant_id": b.tenant_id,
        "owner_user_id": b.owner_user_id,
        "name": b.name,
        "status": b.status.value,
        "status_reason": b.status_reason,
        "desired": b.desired.value,
        "desired_reason": b.desired_reason,
        "image_id": b.image.id,
        "image_name": b.image.name,
        "image_sha256": b.image.sha256,
        "image_size_bytes": b.image.size_bytes,
        "lifecycle_mode": b.lifecycle_mode.value,
        "labels": dict(b.labels),
        "env": dict(b.env),
        "network_profile": b.network.profile.value,
        "network_allowlist": b.network.allowlist,
        "interfaces": b.network.interfaces,
        "bandwidth_mbit": b.network.bandwidth_mbit,
        "cpu_millicores": b.shape.cpu_millicores,
        "memory_mb": b.shape.memory_mb,
        "disk_mb": b.shape.disk_mb,
        "gpu_count": b.shape.gpu_count,
        "gpu_type": b.shape.gpu_type,
        "max_lifetime_s": b.limits.max_lifetime_s,
        "idle_timeout_s": b.limits.idle_timeout_s,
        "session_type": b.session_type.value,
        "session_ref": b.session_ref,
        "worker_id": b.worker_id,
        "gpu_type_held": b.gpu_type_held,
        "refused_by": list(b.refused_by) or None,
        "source_snapshot_id": b.source.snapshot_id if b.source else None,
        "source_kind": b.source.kind.value if b.source else None,
        "source_manifest_sha256": b.source.manifest_sha256 if b.source else None,
        "capturing_snapshot_id": b.capturing_snapshot_id,
        "captured_from": b.captured_from.value if b.captured_from else None,
        "passivated": b.passivated,
        "passive_snapshot_id": b.passive_snapshot_id,
        "base_snapshot_id": b.base_snapshot_id,
        "passivated_from": b.passivated_from.value if b.passivated_from else None,
        "passivate_after": b.passivate_after,
        "waking_since": b.waking_since,
        "wake_kind": b.wake_kind.value,
        "wake_refusal": b.wake_refusal,
        "created_at": b.created_at,
        "placed_at": b.placed_at,
        "started_at": b.started_at,
        "terminated_at": b.terminated_at,
        "last_activity_at": b.last_activity_at,
        "expires_at": b.expires_at,
        "revision": b.revision,
    }


def from_row(row: RowMapping) -> Bunker:
    """The record of a row."""
    return Bunker(
        id=row["id"],
        tenant_id=row["tenant_id"],
        owner_user_id=row["owner_user_id"],
        name=row["name"],
        status=State(row["status"]),
        status_reason=row["status_reason"],
        desired=Desired(row["desired"]),
        desired_reason=row["desired_reason"],
        image=ImageRef(
            id=row["image_id"],
            name=row["image_name"],
            sha256=row["image_sha256"],
            size_bytes=row["image_size_bytes"],
        ),
        lifecycle_mode=LifecycleMode(row["lifecycle_mode"]),
        labels=row["labels"],
        env=row["env"],
        network=Network(
            profile=NetworkProfile(row["network_profile"]),
            allowlist=row["network_allowlist"],
            interfaces=row["interfaces"],
            bandwidth_mbit=row["bandwidth_mbit"],
        ),
        shape=Shape(
            cpu_millicores=row["cpu_millicores"],
            memory_mb=row["memory_mb"],
            disk_mb=row["disk_mb"],
            gpu_count=row["gpu_count"],
            gpu_type=row["gpu_type"],
        ),
        limits=Limits(row["max_lifetime_s"], row["idle_timeout_s"]),
        session_type=SessionType(row["session_type"]),
        session_ref=row["session_ref"],
        worker_id=row["worker_id"],
        created_at=row["created_at"],
        placed_at=row["placed_at"],
        started_at=row["started_at"],
        terminated_at=row["terminated_at"],
        last_activity_at=row["last_activity_at"],
        expires_at=row["expires_at"],
        revision=row["revision"],
        gpu_type_held=row["gpu_type_held"],
        refused_by=tuple(row["refused_by"] or ()),
        source=_source(row),
        capturing_snapshot_id=row["capturing_snapshot_id"],
        captured_from=State(row["captured_from"]) if row["captured_from"] else None,
        passivated=row["passivated"],
        passive_snapshot_id=row["passive_snapshot_id"],
        base_snapshot_id=row["base_snapshot_id"],
        passivated_from=Desired(row["passivated_from"]) if row["passivated_from"] else None,
        passivate_after=row["passivate_after"],
        waking_since=row["waking_since"],
        wake_kind=WakeKind(row["wake_kind"] or WakeKind.FULL),
        wake_refusal=row["wake_refusal"],
    )


def _source(row: RowMapping) -> Source | None:
    if row["source_snapshot_id"] is None:
        return None
    return Source(
        row["source_snapshot_id"],
        SnapshotKind(row["source_kind"]),
        row["source_manifest_sha256"],
    )


def change_from_row(row: RowMapping) -> StatusChange:
    """A change of state from its row."""
    return StatusChange(
        sequence=row["sequence"],
        bunker_id=row["bunker_id"],
        status=State(row["status"]),
        previous=State(row["previous"]) if row["previous"] else None,
        reason=row["reason"],
        at=row["at"],
        passivated=row["passivated"],
    )
