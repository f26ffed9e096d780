"""The SQL of workers. They belong to the platform, not to a tenant: what a caller may see of them
is a matter of its permissions, which the routes ask for."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update

from scaibunker.controller.bunkers.lifecycle import LIVE
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.workers.domain import Capacity, Held, Worker
from scaibunker.controller.workers.tables import worker_gpus, workers
from scaibunker.controller.workers.vicinity import addresses_of
from scaigrid.db import Reader, Writer
from scaigrid.db.server_time import server_now
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

HELD_AT_ONCE = 5000
READ_AT_ONCE = 500
_LIVE = sorted(state.value for state in LIVE)


@dataclass(frozen=True, slots=True)
class Standing:
    """What changes of a worker all the time."""

    draining: bool
    held: Held
    facts: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker says of itself; `facts` names it, and changes when it does."""

    facts: str
    capacity: Capacity
    network_profiles: AbstractSet[str]
    images: AbstractSet[str]
    templates: AbstractSet[str]
    protocol: int
    addresses: frozenset[str] = frozenset()


async def heard(op: Operation, db: Writer, said: Sequence[Worker]) -> set[str]:
    """Store that workers have reported; returns those of which that is all that is new. Nobody is
    waited for: a worker whose row somebody else holds is passed over."""
    c = workers.c
    as_known = c.id.in_(sorted(worker.id for worker in said)) & c.facts.in_(
        sorted(_facts(worker) for worker in said)
    )
    query = select(c.id).where(as_known).order_by(c.id).with_for_update(skip_locked=True)
    found = set(await db.values(query))
    if found:
        these = update(workers).where(c.id.in_(sorted(found)))
        await db.execute(these.values(last_heartbeat_at=op.now()))
    return found


async def describe(op: Operation, db: Writer, worker: Worker) -> None:
    """Store all that a heartbeat says, or only that it came if the rest is known. Draining is the
    operator's word, not the worker's. Raises IntegrityError if another replica has just registered
    the worker."""
    heard = update(workers).where(workers.c.id == worker.id).values(last_heartbeat_at=op.now())
    facts = _facts(worker)
    if await db.execute(heard.where(workers.c.facts == facts)):
        return
    values: dict[str, Any] = {
        "name": worker.name,
        "address": worker.address,
        "protocol": worker.protocol,
        "version": worker.version,
        "acceleration": worker.acceleration,
        "network_profiles": list(worker.network_profiles),
        "cpu_millicores": worker.capacity.cpu_millicores,
        "memory_mb": worker.capacity.memory_mb,
        "disk_mb": worker.capacity.disk_mb,
        "gpus": dict(worker.capacity.gpus),
        "cached_images": list(worker.cached_images),
        "templates": list(worker.templates),
        "registry_hosts": list(worker.registry_hosts),
        "default_bandwidth_mbit": worker.default_bandwidth_mbit,
        "network_addresses": list(worker.network_addresses),
        "facts": facts,
        "changed_at": server_now(),
    }
    if await db.execute(heard.values(**values)) == 0:
        await db.execute(
            insert(workers).values(
                id=worker.id,
                draining=False,
                registered_at=op.now(),
                last_heartbeat_at=op.now(),
                **values,
            )
        )
    await _report_gpus(op, db, worker)


async def _report_gpus(op: Operation, db: Writer, worker: Worker) -> None:  # noqa: ARG001
    """Devices by type; of a type that is gone there are none, and it is forgotten once nobody holds
    one."""
    g = worker_gpus.c
    mine, now = g.worker_id == worker.id, worker.capacity.gpus
    known = set(await db.values(select(g.gpu_type).where(mine)))
    if gone := sorted(known - now.keys()):
        left = mine & g.gpu_type.in_(gone)
        await db.execute(delete(worker_gpus).where(left, g.held == 0))
        await db.execute(update(worker_gpus).where(left).values(total=0))
    for kind, total in now.items():
        if kind in known:
            this = mine & (g.gpu_type == kind)
            await db.execute(update(worker_gpus).where(this).values(total=total))
        else:
            await db.execute(
                insert(worker_gpus).values(worker_id=worker.id, gpu_type=kind, total=total, held=0)
            )


async def note_protocol(
    op: Operation,  # noqa: ARG001
    db: Writer,
    worker_id: str,
    protocol: int,
) -> None:
    """A worker, if it is known, speaks another version now than when its report was last taken."""
    this = (workers.c.id == worker_id) & (workers.c.protocol != protocol)
    noted = {"protocol": protocol, "facts": f"protocol {protocol}", "changed_at": server_now()}
    await db.execute(update(workers).where(this).values(**noted))


def _facts(worker: Worker) -> str:
    """A name for all that a heartbeat says of the worker but when; no two workers have the same."""
    said = [
        worker.id,
        worker.name,
        worker.address,
        worker.protocol,
        worker.version,
        worker.acceleration,
        sorted(worker.network_profiles),
        worker.capacity.cpu_millicores,
        worker.capacity.memory_mb,
        worker.capacity.disk_mb,
        sorted(worker.capacity.gpus.items()),
        sorted(worker.cached_images),
        sorted(worker.templates),
        sorted(worker.registry_hosts),
        worker.default_bandwidth_mbit,
        sorted(worker.network_addresses),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


async def drain(
    op: Operation, db: Writer, worker_id: str, *, draining: bool, emptied: bool = False
) -> bool:
    """Have a worker take nothing new, and with `emptied` have its bunkers passivated that can be; or have it
    take bunkers again. False if there is no such worker."""
    this = update(workers).where(workers.c.id == worker_id)
    values: dict[str, Any] = {"draining": draining, "changed_at": server_now()}
    if not draining:
        values["emptied_since"] = None
    elif emptied:
        values["emptied_since"] = func.coalesce(workers.c.emptied_since, op.now())
    return await db.execute(this.values(**values)) == 1


async def standings(
    op: Operation,  # noqa: ARG001
    db: Reader,
    since: datetime | None,
) -> dict[str, Standing]:
    """Workers that have changed since then, by the database's clock; None: all of them."""
    c = workers.c
    query = select(
        c.id,
        c.draining,
        c.held_bunkers,
        c.held_cpu_millicores,
        c.held_memory_mb,
        c.held_disk_mb,
        c.facts,
        c.changed_at,
    )
    devices = select(worker_gpus).where(worker_gpus.c.held != 0)
    if since is not None:
        query = query.where(c.changed_at >= since)
        devices = devices.join(workers, c.id == worker_gpus.c.worker_id)
        devices = devices.where(c.changed_at >= since)
    gpus: dict[str, dict[str, int]] = {}
    for row in await db.rows(devices):
        gpus.setdefault(row["worker_id"], {})[row["gpu_type"]] = row["held"]
    return {
        row["id"]: Standing(
            row["draining"], _held(row, gpus.get(row["id"])), row["facts"], row["changed_at"]
        )
        for row in await db.rows(query)
    }


async def descriptions(
    op: Operation,  # noqa: ARG001
    db: Reader,
    worker_ids: Sequence[str],
) -> dict[str, Description]:
    """What workers say of themselves."""
    found: dict[str, Description] = {}
    for start in range(0, len(worker_ids), READ_AT_ONCE):
        some = worker_ids[start : start + READ_AT_ONCE]
        for row in await db.rows(select(workers).where(workers.c.id.in_(some))):
            found[row["id"]] = Description(
                row["facts"],
                _capacity(row),
                frozenset(row["network_profiles"]),
                frozenset(row["cached_images"]),
                frozenset(row["templates"] or ()),
                row["protocol"],
                addresses_of(row["address"], row["network_addresses"] or ()),
            )
    return found


async def silent(
    op: Operation,  # noqa: ARG001
    db: Reader,
    until: datetime,
) -> dict[str, datetime]:
    """Workers that have not reported since then, and when they last have."""
    c = workers.c
    query = select(c.id, c.last_heartbeat_at).where(c.last_heartbeat_at <= until)
    return {row["id"]: row["last_heartbeat_at"] for row in await db.rows(query)}


async def get(op: Operation, db: Reader, worker_id: str) -> Worker | None:  # noqa: ARG001
    """The worker of that id."""
    row = await db.row(select(workers).where(workers.c.id == worker_id))
    return _worker(row) if row else None


async def everyone(op: Operation, db: Reader) -> list[Worker]:  # noqa: ARG001
    """All workers that ever reported."""
    return [_worker(row) for row in await db.rows(select(workers))]


async def listing(op: Operation, db: Reader, page: PageRequest) -> Slice[Worker]:  # noqa: ARG001
    """Workers, the one that registered last first."""
    c = workers.c
    rows = list(await db.rows(newest_first(select(workers), c.registered_at, c.id, page)))
    found = page.slice(rows, lambda row: (row["registered_at"], row["id"]))
    return found.map(_worker)


async def gpus_held(
    op: Operation,  # noqa: ARG001
    db: Reader,
    worker_ids: Collection[str],
) -> Mapping[str, Mapping[str, int]]:
    """Devices that bunkers hold, by worker and type."""
    found: dict[str, dict[str, int]] = {}
    query = select(worker_gpus).where(
        worker_gpus.c.worker_id.in_(worker_ids), worker_gpus.c.held > 0
    )
    for row in await db.rows(query):
        found.setdefault(row["worker_id"], {})[row["gpu_type"]] = row["held"]
    return found


async def at_work(
    op: Operation, db: Reader, worker_ids: Collection[str]
) -> dict[str, dict[str, Held]]:
    """What the live bunkers of these workers have, by worker and status; all tenants' count, and
    only sums are told."""
    c = bunkers.c
    whole = op.as_platform("usage of workers")
    query = (
        select(
            c.worker_id,
            c.status,
            c.gpu_type_held,
            func.sum(c.gpu_count).label("gpus"),
            func.count().label("bunkers"),
            func.sum(c.cpu_millicores).label("cpu_millicores"),
            func.sum(c.memory_mb).label("memory_mb"),
            func.sum(c.disk_mb).label("disk_mb"),
        )
        .where(c.worker_id.in_(worker_ids), c.status.in_(_LIVE), everywhere(whole, bunkers))
        .group_by(c.worker_id, c.status, c.gpu_type_held)
    )
    found: dict[str, dict[str, Held]] = {}
    for row in await db.rows(query):
        by_status = found.setdefault(row["worker_id"], {})
        kind = row["gpu_type_held"]
        part = Held(
            int(row["bunkers"]),
            int(row["cpu_millicores"]),
            int(row["memory_mb"]),
            int(row["disk_mb"]),
            {kind: int(row["gpus"])} if kind else {},
        )
        by_status[row["status"]] = by_status.get(row["status"], Held()).more(part)
    return found


async def default_bandwidth(
    op: Operation,  # noqa: ARG001
    db: Reader,
    worker_id: str,
) -> int | None:
    """Mbit/s that a machine gets there whose order names none; None if it has not said so."""
    query = select(workers.c.default_bandwidth_mbit).where(workers.c.id == worker_id)
    return next(iter(await db.values(query)), None)


async def fell_silent(
    op: Operation,  # noqa: ARG001
    db: Reader,
    since: datetime,
    until: datetime,
) -> list[str]:
    """Workers whose last heartbeat came after `since`, and not after `until`."""
    last = workers.c.last_heartbeat_at
    return list(await db.values(select(workers.c.id).where(last > since, last <= until)))


async def held_by_silent(op: Operation, db: Reader, until: datetime) -> list[str]:
    """Live bunkers of workers that have said nothing since then."""
    query = (
        select(bunkers.c.id)
        .join(workers, workers.c.id == bunkers.c.worker_id)
        .where(
            bunkers.c.status.in_(_LIVE),
            workers.c.last_heartbeat_at <= until,
            everywhere(op, bunkers),
        )
        .limit(HELD_AT_ONCE)
    )
    return list(await db.values(query))


def _held(row: RowMapping, gpus: Mapping[str, int] | None = None) -> Held:
    return Held(
        row["held_bunkers"],
        row["held_cpu_millicores"],
        row["held_memory_mb"],
        row["held_disk_mb"],
        gpus or {},
    )


def _capacity(row: RowMapping) -> Capacity:
    return Capacity(row["cpu_millicores"], row["memory_mb"], row["disk_mb"], row["gpus"])


def _worker(row: RowMapping) -> Worker:
    return Worker(
        id=row["id"],
        name=row["name"],
        address=row["address"],
        protocol=row["protocol"],
        version=row["version"],
        acceleration=row["acceleration"],
        network_profiles=tuple(row["network_profiles"]),
        capacity=_capacity(row),
        cached_images=tuple(row["cached_images"]),
        draining=row["draining"],
        last_heartbeat_at=row["last_heartbeat_at"],
        held=_held(row),
        emptied_since=row["emptied_since"],
        templates=tuple(row["templates"] or ()),
        registry_hosts=tuple(row["registry_hosts"] or ()),
        default_bandwidth_mbit=row["default_bandwidth_mbit"],
        network_addresses=tuple(row["network_addresses"] or ()),
    )
