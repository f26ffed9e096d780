"""A bunker as its owner sees it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scaibunker.controller.bunkers.domain import Bunker, Desired, StatusChange
from scaibunker.wire.api import bunkers as wire


def view(b: Bunker, last_activity_at: datetime) -> wire.Bunker:
    """The record; `last_activity_at` may be later than what is stored."""
    return wire.Bunker(
        id=b.id,
        tenant_id=b.tenant_id,
        owner_user_id=b.owner_user_id,
        name=b.name,
        status=wire.BunkerStatus(b.status.value),
        status_reason=_reason(b),
        image=b.image.name,
        image_id=b.image.id,
        snapshot_id=b.source.snapshot_id if b.source else None,
        lifecycle_mode=b.lifecycle_mode,
        label_set=dict(b.labels),
        env_vars=dict(b.env),
        network_profile=b.network.profile,
        network_allowlist=list(b.network.allowlist) if b.network.allowlist is not None else None,
        interfaces=(
            [_interface(entry) for entry in b.network.interfaces]
            if b.network.interfaces is not None
            else None
        ),
        bandwidth_mbit=b.network.bandwidth_mbit,
        cpu_millicores=b.shape.cpu_millicores,
        memory_mb=b.shape.memory_mb,
        disk_mb=b.shape.disk_mb,
        gpu_count=b.shape.gpu_count,
        gpu_type=b.shape.gpu_type or b.gpu_type_held,
        max_lifetime_s=b.limits.max_lifetime_s,
        idle_timeout_s=b.limits.idle_timeout_s,
        session_type=b.session_type,
        session_ref=b.session_ref,
        worker_id=b.worker_id,
        created_at=b.created_at,
        started_at=b.started_at,
        terminated_at=b.terminated_at,
        last_activity_at=last_activity_at,
        expires_at=b.expires_at,
        passivated=b.passivated,
    )


def _interface(entry: Mapping[str, Any]) -> wire.Interface:
    """As it was asked for, with the address that it has; not where its bridge is."""
    return wire.Interface(**{name: entry[name] for name in wire.Interface.model_fields})


def _reason(b: Bunker) -> str | None:
    if b.desired is Desired.TERMINATED and not b.is_final:
        return f"being terminated: {b.desired_reason}"
    return b.status_reason


def view_change(change: StatusChange) -> wire.BunkerEvent:
    """A change of state as an event; that it is passivated, which is none, as another one."""
    return wire.BunkerEvent(
        type="passivated" if change.status is change.previous else "status",
        bunker_id=change.bunker_id,
        status=wire.BunkerStatus(change.status.value),
        previous=wire.BunkerStatus(change.previous.value) if change.previous else None,
        passivated=change.passivated,
        reason=change.reason,
        at=change.at,
    )
