"""The SQL of what bunkers hold: the durable side of the counters.

Rows are written in the transaction that makes a bunker and removed in the one that ends it. The row
of the epoch ties the counters in Redis to them: what was held in counters of another epoch is not
held, and the transaction of a create asks for it under a shared lock. So whoever begins a new epoch
waits for creates on their way, and sees their rows when it counts.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, func, insert, select, update

from scaibunker.controller.quotas.domain import Amounts, Claim, Resource
from scaibunker.controller.quotas.tables import quota_epoch, quota_holds
from scaigrid.db import Reader, Writer
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

_ONE = quota_epoch.c.id == 1


async def add(op: Operation, db: Writer, claim: Claim) -> None:  # noqa: ARG001
    """Write what a new bunker holds."""
    amounts = {resource.value: claim.amounts.get(resource, 0) for resource in Resource}
    rows = [{"bunker_id": claim.bunker_id, "bucket": b, **amounts} for b in claim.buckets]
    await db.execute(insert(quota_holds), rows)


async def replace(op: Operation, db: Writer, claim: Claim) -> None:
    """Write what a bunker holds, instead of what it held."""
    await remove(op, db, claim.bunker_id)
    await add(op, db, claim)


async def remove(op: Operation, db: Writer, bunker_id: str) -> None:
    """A bunker holds nothing any more."""
    whole = op.as_platform("quota holds of a bunker that ends")
    this = quota_holds.c.bunker_id == bunker_id
    await db.execute(delete(quota_holds).where(this, everywhere(whole, quota_holds)))


async def keep(op: Operation, db: Writer, bunker_id: str, kept: Collection[Resource]) -> None:
    """A bunker goes on holding these, and nothing else."""
    whole = op.as_platform("quota holds of a bunker that holds less")
    this = quota_holds.c.bunker_id == bunker_id
    gone = {resource.value: 0 for resource in Resource if resource not in kept}
    await db.execute(update(quota_holds).where(this, everywhere(whole, quota_holds)).values(**gone))


async def epoch(op: Operation, db: Reader, *, locked: bool = False) -> str:  # noqa: ARG001
    """The epoch in force; `locked`: it stays so until the transaction ends."""
    query = select(quota_epoch.c.epoch).where(_ONE)
    return str(await db.value(query.with_for_update(read=True) if locked else query))


async def begin_epoch(op: Operation, db: Writer, name: str) -> None:  # noqa: ARG001
    """What was held in other counters is not held any more. Nobody else creates anything until the
    transaction ends."""
    await db.execute(update(quota_epoch).where(_ONE).values(epoch=name))


async def sums(
    op: Operation, db: Reader, buckets: Sequence[str] | None = None
) -> dict[str, Amounts]:
    """What is held of these buckets, or of all, by bucket; those of which nothing is are not there."""
    c = quota_holds.c
    whole = op.as_platform("what is held of allowances")
    query = (
        select(c.bucket, *(func.sum(c[r.value]).label(r.value) for r in Resource))
        .where(everywhere(whole, quota_holds))
        .group_by(c.bucket)
    )
    if buckets is not None:
        query = query.where(c.bucket.in_(buckets))
    return {row["bucket"]: {r: int(row[r.value]) for r in Resource} for row in await db.rows(query)}


async def page(
    op: Operation, db: Reader, after: str, limit: int
) -> dict[str, Mapping[str, Amounts]]:
    """What bunkers hold, by bunker and bucket: the next `limit` bunkers by id."""
    c = quota_holds.c
    ids = (
        select(c.bunker_id)
        .where(c.bunker_id > after, everywhere(op, quota_holds))
        .distinct()
        .order_by(c.bunker_id)
        .limit(limit)
    )
    return await of_bunkers(op, db, list(await db.values(ids)))


async def of_bunkers(
    op: Operation, db: Reader, bunker_ids: Sequence[str]
) -> dict[str, Mapping[str, Amounts]]:
    """What these bunkers hold, by bunker and bucket, in the order of their ids."""
    c = quota_holds.c
    query = (
        select(quota_holds)
        .where(c.bunker_id.in_(bunker_ids), everywhere(op, quota_holds))
        .order_by(c.bunker_id)
    )
    found: dict[str, dict[str, Amounts]] = {}
    for row in await db.rows(query):
        found.setdefault(row["bunker_id"], {})[row["bucket"]] = {
            r: row[r.value] for r in Resource if row[r.value]
        }
    return dict(found)


async def of_bunker(op: Operation, db: Reader, bunker_id: str) -> Mapping[str, Amounts]:
    """What a bunker holds of each of its buckets."""
    whole = op.as_platform("quota holds of a bunker")
    return (await of_bunkers(whole, db, [bunker_id])).get(bunker_id, {})
