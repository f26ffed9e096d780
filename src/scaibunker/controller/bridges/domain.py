"""A bridge's record, and the rules about it."""

from dataclasses import dataclass
from datetime import datetime

from scaibunker.wire.api.bridges import BridgeStatus

MOST_PER_TENANT = 100


@dataclass(frozen=True, slots=True)
class Bridge:
    """One bridge. It stays on its worker for life. `revision` counts its changes."""

    id: str
    tenant_id: str
    name: str
    worker_id: str
    status: BridgeStatus
    status_reason: str | None
    created_at: datetime
    updated_at: datetime
    revision: int = 0
