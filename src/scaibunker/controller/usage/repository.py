"""The SQL of usage: which bunkers a minute concerns, and what there is to know of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.bunkers.lifecycle import LIVE, State
from scaibunker.controller.bunkers.repository import reachable
from scaibunker.controller.bunkers.tables import bunker_events as events
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.usage.domain import Change
from scaibunker.controller.usage.tables import egress
from scaigrid.db import Reader, Writer
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

SKEW = timedelta(minutes=10)
"""By how much the clocks of two replicas may differ at most."""


@dataclass(frozen=True, slots=True)
class Metered:
    """A bunker as far as accounting is concerned."""

    id: str
    tenant_id: str
    user_id: str
    shape: Shape


async def concerned(op: Operation, db: Reader, begin: datetime, end: datetime) -> list[str]:
    """Bunkers that lived in a period, or have sent something that is not accounted for, by id."""
    c = bunkers.c
    live = select(c.id).where(
        reachable(op), c.status.in_([s.value for s in LIVE]), c.created_at < end
    )
    ended = select(c.id).where(reachable(op), c.terminated_at >= begin, c.created_at < end)
    owing = (
        select(c.id)
        .join(egress, egress.c.bunker_id == c.id)
        .where(reachable(op), egress.c.owed.is_(True))
    )
    found: set[str] = set()
    for query in (live, ended, owing):
        found.update(await db.values(query))
    return sorted(found)


async def lock(op: Operation, db: Writer, bunker_ids: Sequence[str]) -> list[Metered]:
    """These bunkers, locked to the end of the transaction."""
    c = bunkers.c
    query = (
        select(
            c.id,
            c.tenant_id,
            c.owner_user_id,
            c.cpu_millicores,
            c.memory_mb,
            c.disk_mb,
            c.gpu_count,
        )
        .where(c.id.in_(bunker_ids), reachable(op))
        .order_by(c.id)
        .with_for_update()
    )
    return [
        Metered(
            row["id"],
            row["tenant_id"],
            row["owner_user_id"],
            Shape(row["cpu_millicores"], row["memory_mb"], row["disk_mb"], row["gpu_count"]),
        )
        for row in await db.rows(query)
    ]


async def changes(
    op: Operation, db: Reader, bunker_ids: Sequence[str], begin: datetime
) -> Mapping[str, list[Change]]:
    """The changes of state of bunkers from the one on that still held when the period began."""
    e = events.c
    before = (
        select(e.bunker_id, func.max(e.sequence).label("sequence"))
        .where(e.bunker_id.in_(bunker_ids), e.at < begin - SKEW, everywhere(op, events))
        .group_by(e.bunker_id)
        .subquery("before")
    )
    query = (
        select(e.bunker_id, e.at, e.status, e.passivated)
        .join(bunkers, bunkers.c.id == e.bunker_id)
        .outerjoin(before, before.c.bunker_id == e.bunker_id)
        .where(
            e.bunker_id.in_(bunker_ids),
            or_(before.c.sequence.is_(None), e.sequence >= before.c.sequence),
            reachable(op),
        )
        .order_by(e.bunker_id, e.sequence)
    )
    found: defaultdict[str, list[Change]] = defaultdict(list)
    for row in await db.rows(query):
        change = Change(row["at"], State(row["status"]), row["passivated"])
        found[row["bunker_id"]].append(change)
    return found


async def settle_egress(op: Operation, db: Writer, bunker_ids: Sequence[str]) -> Mapping[str, int]:
    """Take what these bunkers have sent since the last time; from then on it is accounted for."""
    c = egress.c
    query = (
        select(c.bunker_id, c.incarnation, c.seen_bytes, c.accounted_bytes)
        .join(bunkers, bunkers.c.id == c.bunker_id)
        .where(c.bunker_id.in_(bunker_ids), c.owed.is_(True), reachable(op))
        .order_by(c.bunker_id, c.incarnation)
        .with_for_update()
    )
    sent: defaultdict[str, int] = defaultdict(int)
    for row in await db.rows(query):
        sent[row["bunker_id"]] += row["seen_bytes"] - row["accounted_bytes"]
        this = (c.bunker_id == row["bunker_id"]) & (c.incarnation == row["incarnation"])
        this &= everywhere(op, egress)
        await db.execute(
            update(egress).where(this).values(accounted_bytes=row["seen_bytes"], owed=False)
        )
    return sent
