"""The SQL of workers. They belong to the platform, not to a tenant: what a caller may see of them
is a matter of its permissions, which the routes ask for."""

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update

from scaibunker.controller.bunkers.lifecycle import LIVE
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.workers.domain import Capacity, Used, Worker
from scaibunker.controller.workers.tables import workers
from scaigrid.db import Reader, Writer
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

HELD_AT_ONCE = 5000
_LIVE = sorted(state.value for state in LIVE)


async def report(op: Operation, db: Writer, worker: Worker) -> None:
    """Store what a heartbeat says. Draining is the operator's word, not the worker's. Raises
    IntegrityError if another replica has just registered the worker."""
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
        "last_heartbeat_at": worker.last_heartbeat_at,
    }
    known = await db.execute(update(workers).where(workers.c.id == worker.id).values(**values))
    if known == 0:
        await db.execute(
            insert(workers).values(id=worker.id, draining=False, registered_at=op.now(), **values)
        )


async def get(op: Operation, db: Reader, worker_id: str) -> Worker | None:  # noqa: ARG001
    """The worker of that id."""
    query = select(workers).where(workers.c.id == worker_id)
    row = await db.row(query)
    return _worker(row) if row else None


async def everyone(op: Operation, db: Reader) -> list[Worker]:  # noqa: ARG001
    """All workers that ever reported."""
    return [_worker(row) for row in await db.rows(select(workers))]


async def lock_everyone(op: Operation, db: Writer) -> list[Worker]:  # noqa: ARG001
    """All workers, locked to the end of the transaction: nobody else places anything meanwhile."""
    query = select(workers).order_by(workers.c.id).with_for_update()
    return [_worker(row) for row in await db.rows(query)]


async def listing(op: Operation, db: Reader, page: PageRequest) -> Slice[Worker]:  # noqa: ARG001
    """Workers, the one that registered last first."""
    c = workers.c
    rows = list(await db.rows(newest_first(select(workers), c.registered_at, c.id, page)))
    found = page.slice(rows, lambda row: (row["registered_at"], row["id"]))
    return found.map(_worker)


async def usage(op: Operation, db: Reader) -> dict[str, Used]:
    """What live bunkers hold, by worker; all tenants' bunkers count, and only sums are told."""
    c = bunkers.c
    whole = op.as_platform("usage of workers")
    query = (
        select(
            c.worker_id,
            func.count().label("bunkers"),
            func.sum(c.cpu_millicores).label("cpu_millicores"),
            func.sum(c.memory_mb).label("memory_mb"),
            func.sum(c.disk_mb).label("disk_mb"),
            func.sum(c.gpu_count).label("gpus"),
        )
        .where(c.worker_id.is_not(None), c.status.in_(_LIVE), everywhere(whole, bunkers))
        .group_by(c.worker_id)
    )
    return {
        row["worker_id"]: Used(
            bunkers=int(row["bunkers"]),
            cpu_millicores=int(row["cpu_millicores"]),
            memory_mb=int(row["memory_mb"]),
            disk_mb=int(row["disk_mb"]),
            gpus=int(row["gpus"]),
        )
        for row in await db.rows(query)
    }


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


def _worker(row: RowMapping) -> Worker:
    return Worker(
        id=row["id"],
        name=row["name"],
        address=row["address"],
        protocol=row["protocol"],
        version=row["version"],
        acceleration=row["acceleration"],
        network_profiles=tuple(row["network_profiles"]),
        capacity=Capacity(row["cpu_millicores"], row["memory_mb"], row["disk_mb"], row["gpus"]),
        cached_images=tuple(row["cached_images"]),
        draining=row["draining"],
        last_heartbeat_at=row["last_heartbeat_at"],
    )
