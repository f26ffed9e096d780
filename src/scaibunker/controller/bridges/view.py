"""A bridge as its tenant sees it."""

from scaibunker.controller.bridges.domain import Bridge
from scaibunker.wire.api import bridges as wire


def view(b: Bridge) -> wire.Bridge:
    """The record."""
    return wire.Bridge(
        id=b.id,
        tenant_id=b.tenant_id,
        name=b.name,
        worker_id=b.worker_id,
        status=b.status,
        status_reason=b.status_reason,
        created_at=b.created_at,
        updated_at=b.updated_at,
    )
