"""A snapshot as its owner sees it."""

from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.wire.api import snapshots as wire


def view(s: Snapshot) -> wire.Snapshot:
    """The record."""
    return wire.Snapshot(
        id=s.id,
        tenant_id=s.tenant_id,
        owner_user_id=s.owner_user_id,
        bunker_id=s.bunker_id,
        name=s.name,
        kind=s.kind,
        status=s.status,
        status_reason=s.status_reason,
        phase=s.phase,
        done_bytes=s.done_bytes,
        total_bytes=s.total_bytes,
        progress=s.progress,
        size_bytes=s.size_bytes,
        image=s.image.name,
        image_id=s.image.id,
        cpu_millicores=s.cpu_millicores,
        memory_mb=s.memory_mb,
        disk_mb=s.disk_mb,
        created_at=s.created_at,
        ready_at=s.ready_at,
        expires_at=s.expires_at,
    )
