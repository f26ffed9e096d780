"""A worker as an operator sees it."""

from collections.abc import Mapping
from datetime import datetime

from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.workers.domain import AMOUNTS, Held, Worker, WorkerStatus
from scaibunker.wire.api import workers as wire

_AT_WORK = (State.RUNNING, State.PAUSED, State.SNAPSHOTTING)


def view(
    worker: Worker,
    status: WorkerStatus,
    now: datetime,
    gpus_held: Mapping[str, int],
    by_status: Mapping[str, Held],
    *,
    understood: bool,
) -> wire.Worker:
    """The record; `by_status` is what its live bunkers have, by their status."""
    total, held = worker.capacity, worker.held
    used = Held()
    for state in _AT_WORK:
        used = used.more(by_status.get(state.value, Held()))
    reasons = list(_reasons(worker, status, now, understood=understood))
    return wire.Worker(
        id=worker.id,
        name=worker.name,
        status=status.value,
        draining=worker.draining,
        emptied_since=worker.emptied_since,
        takes_bunkers=not reasons,
        reasons=reasons,
        version=worker.version,
        protocol=worker.protocol,
        acceleration=worker.acceleration,
        network_profiles=list(worker.network_profiles),
        registry_hosts=list(worker.registry_hosts),
        default_bandwidth_mbit=worker.default_bandwidth_mbit,
        cached_images=list(worker.cached_images),
        total=wire.Amounts(
            cpu_millicores=total.cpu_millicores,
            memory_mb=total.memory_mb,
            disk_mb=total.disk_mb,
            gpus=dict(total.gpus),
        ),
        reserved=_amounts(held, gpus_held),
        used=_amounts(used, used.gpus),
        bunkers=held.bunkers,
        bunkers_by_status={state: held.bunkers for state, held in sorted(by_status.items())},
        last_heartbeat_at=worker.last_heartbeat_at,
        heartbeat_age_s=_age_s(worker, now),
    )


def _reasons(worker: Worker, status: WorkerStatus, now: datetime, *, understood: bool) -> list[str]:
    reasons = []
    if not understood:
        reasons.append(
            f"not understood: it speaks version {worker.protocol} of the worker protocol, and this "
            "controller does not"
        )
    elif status is WorkerStatus.OFFLINE:
        reasons.append(f"offline: its last heartbeat came {_age_s(worker, now):.0f} s ago")
    if worker.draining:
        reasons.append("draining: an operator has said that it takes no new bunkers")
    for amount in AMOUNTS:
        total, held = getattr(worker.capacity, amount), getattr(worker.held, amount)
        if held >= total:
            reasons.append(f"full: {held} of {total} {amount} are reserved")
    if not worker.cached_images:
        reasons.append("it has no image")
    return reasons


def _amounts(held: Held, gpus: Mapping[str, int]) -> wire.Amounts:
    return wire.Amounts(
        cpu_millicores=held.cpu_millicores,
        memory_mb=held.memory_mb,
        disk_mb=held.disk_mb,
        gpus=dict(gpus),
    )


def _age_s(worker: Worker, now: datetime) -> float:
    return max(0.0, (now - worker.last_heartbeat_at).total_seconds())
