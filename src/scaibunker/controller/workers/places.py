"""Taking a place on a worker and giving it back: the SQL of what workers have given away.

Each is part of the transaction that writes why, so that what is held and who holds it cannot differ.
A place is taken by a statement that does nothing if the worker has not got it any more.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Update, func, select, update

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.bunkers.lifecycle import LIVE
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.workers import repository
from scaibunker.controller.workers.domain import AMOUNTS, Held
from scaibunker.controller.workers.tables import worker_gpus, workers
from scaigrid.db import Reader, Writer
from scaigrid.db.server_time import server_now
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

_LIVE = sorted(state.value for state in LIVE)


class PlaceTaken(Exception):
    """The worker has not got the room any more, or takes nothing new."""


async def take(
    op: Operation,  # noqa: ARG001
    db: Writer,
    worker_id: str,
    shape: Shape,
    gpu_type: str | None,
    heard_since: datetime | None = None,
) -> None:
    """Hold what a bunker needs of a worker; with `heard_since`, if it has reported since then.
    Raises PlaceTaken, which must end the transaction."""
    c = workers.c
    room = [c[f"held_{amount}"] + getattr(shape, amount) <= c[amount] for amount in AMOUNTS]
    if heard_since is not None:
        room.append(c.last_heartbeat_at > heard_since)
    taken = _change(worker_id, shape, 1).where(c.draining.is_(False), *room)
    if await db.execute(taken) != 1:
        raise PlaceTaken
    if shape.gpu_count:
        g = worker_gpus.c
        devices = (
            update(worker_gpus)
            .where(
                g.worker_id == worker_id,
                g.gpu_type == gpu_type,
                g.held + shape.gpu_count <= g.total,
            )
            .values(held=g.held + shape.gpu_count)
        )
        if await db.execute(devices) != 1:
            raise PlaceTaken


async def give_back(
    op: Operation,  # noqa: ARG001
    db: Writer,
    worker_id: str,
    shape: Shape,
    gpu_type: str | None,
) -> None:
    """Let go of what a bunker held of a worker."""
    await db.execute(_change(worker_id, shape, -1))
    if shape.gpu_count and gpu_type is not None:
        g = worker_gpus.c
        await db.execute(
            update(worker_gpus)
            .where(g.worker_id == worker_id, g.gpu_type == gpu_type)
            .values(held=g.held - shape.gpu_count)
        )


def _change(worker_id: str, shape: Shape, sign: int) -> Update:
    c = workers.c
    values = {
        f"held_{amount}": c[f"held_{amount}"] + sign * getattr(shape, amount) for amount in AMOUNTS
    }
    return (
        update(workers)
        .where(c.id == worker_id)
        .values(held_bunkers=c.held_bunkers + sign, changed_at=server_now(), **values)
    )


async def held_by_rows(op: Operation, db: Reader) -> Mapping[str, Held]:
    """What the bunkers of each worker add up to: what `held_*` must say. For checks; all tenants'
    bunkers count, and only sums are told."""
    c = bunkers.c
    whole = op.as_platform("what workers have given away")
    live = (c.worker_id.is_not(None), c.status.in_(_LIVE), everywhere(whole, bunkers))
    sums = select(
        c.worker_id,
        func.count().label("bunkers"),
        *(func.sum(c[amount]).label(amount) for amount in AMOUNTS),
    )
    found: dict[str, Held] = {}
    devices = (
        select(c.worker_id, c.gpu_type_held, func.sum(c.gpu_count).label("count"))
        .where(*live, c.gpu_type_held.is_not(None))
        .group_by(c.worker_id, c.gpu_type_held)
    )
    gpus: dict[str, dict[str, int]] = {}
    for row in await db.rows(devices):
        gpus.setdefault(row["worker_id"], {})[row["gpu_type_held"]] = int(row["count"])
    for row in await db.rows(sums.where(*live).group_by(c.worker_id)):
        worker_id = row["worker_id"]
        found[worker_id] = Held(
            bunkers=int(row["bunkers"]),
            cpu_millicores=int(row["cpu_millicores"]),
            memory_mb=int(row["memory_mb"]),
            disk_mb=int(row["disk_mb"]),
            gpus=gpus.get(worker_id, {}),
        )
    return found


async def out_of_step(op: Operation, db: Reader) -> list[str]:
    """Workers whose `held_*` is not what their bunkers add up to. The two are read one after the
    other, so that a place that was taken in between makes one look wrong: `mend` looks again."""
    rows = await held_by_rows(op, db)
    return [
        worker_id
        for worker_id, said in (await _said(op, db)).items()
        if said != rows.get(worker_id, Held())
    ]


async def mend(op: Operation, db: Writer, worker_id: str) -> bool:
    """Write what a worker's bunkers add up to, while nobody takes places of it. Returns whether that
    was something else than was said."""
    await db.value(select(workers.c.id).where(workers.c.id == worker_id).with_for_update())
    said = (await _said(op, db)).get(worker_id, Held())
    held = (await held_by_rows(op, db)).get(worker_id, Held())
    if said == held:
        return False
    values = {f"held_{amount}": getattr(held, amount) for amount in AMOUNTS}
    await db.execute(
        update(workers)
        .where(workers.c.id == worker_id)
        .values(held_bunkers=held.bunkers, changed_at=server_now(), **values)
    )
    for kind in said.gpus.keys() | held.gpus.keys():
        this = (worker_gpus.c.worker_id == worker_id) & (worker_gpus.c.gpu_type == kind)
        await db.execute(update(worker_gpus).where(this).values(held=held.gpus.get(kind, 0)))
    return True


async def _said(op: Operation, db: Reader) -> dict[str, Held]:
    return {each: s.held for each, s in (await repository.standings(op, db, None)).items()}
