"""The SQL of snapshots. Every query is narrowed to what the operation's caller may reach.

A snapshot that is deleted exists for the platform's own operations alone, until nothing depends on it. Who
changes one writes it as it was read, by its revision.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)

from scaibunker.controller.bunkers.domain import Bunker
from scaibunker.controller.bunkers.lifecycle import LIVE, State
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.permissions import ADMIN_KEYS
from scaibunker.controller.snapshots.domain import Need, Purpose, Snapshot
from scaibunker.controller.snapshots.limits import Counts
from scaibunker.controller.snapshots.rows import from_row, to_row
from scaibunker.controller.snapshots.tables import marks, snapshots
from scaibunker.wire.api.snapshots import SnapshotKind, SnapshotStatus
from scaigrid.db import Reader, Writer
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_owner, of_tenant
from scaigrid.tenancy.tables import tenants

MADE_OF = (State.PENDING, State.PROVISIONING)
"""A bunker in these states may still be built of the snapshot that it is made of."""
_LIVE = [state.value for state in LIVE]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which snapshots to list."""

    bunker_id: str | None = None
    status: SnapshotStatus | None = None
    kind: SnapshotKind | None = None


def reachable(op: Operation) -> ColumnElement[bool]:
    """What the caller may reach: its own snapshots; with an admin key all of its tenant's."""
    return of_owner(op, snapshots.c.tenant_id, snapshots.c.owner_user_id, *ADMIN_KEYS)


def _shown(op: Operation) -> ColumnElement[bool]:
    """Snapshots that exist for users."""
    c = snapshots.c
    return and_(
        c.deleted_at.is_(None),
        c.purpose != Purpose.PASSIVATION.value,
        or_(c.expires_at.is_(None), c.expires_at > op.now()),
    )


async def get(op: Operation, db: Reader, snapshot_id: str) -> Snapshot | None:
    """The snapshot of that id, if the caller may reach it and it is there for users."""
    row = await db.row(
        select(snapshots).where(snapshots.c.id == snapshot_id, _shown(op), reachable(op))
    )
    return from_row(row) if row else None


async def locked(op: Operation, db: Writer, snapshot_id: str) -> Snapshot | None:
    """The same, held until the transaction ends: nothing comes to depend on it meanwhile."""
    this = select(snapshots).where(snapshots.c.id == snapshot_id, _shown(op), reachable(op))
    row = await db.row(this.with_for_update())
    return from_row(row) if row else None


async def hold(op: Operation, db: Writer, snapshot_id: str) -> bool:
    """Hold a snapshot until the transaction ends that has something depend on it; False if it is not ready,
    or not there any more."""
    c = snapshots.c
    this = select(c.id).where(
        c.id == snapshot_id,
        c.deleted_at.is_(None),
        c.status == SnapshotStatus.READY.value,
        reachable(op),
    )
    return bool(await db.values(this.with_for_update(read=True)))


async def base_for(op: Operation, db: Writer, bunker: Bunker) -> str | None:
    """What a new snapshot of a bunker may hold the differences to: the last that is ready, else what the
    bunker was made of. It is held until the transaction ends, which has to write the bunker as it was read:
    the one that it slept in last is deleted, and there for as long as the bunker names it."""
    c = snapshots.c
    own = and_(c.bunker_id == bunker.id, c.deleted_at.is_(None))
    last = select(c.id).where(
        or_(own, c.id == bunker.base_snapshot_id),
        c.status == SnapshotStatus.READY.value,
        reachable(op),
    )
    found = await db.values(last.order_by(c.ready_at.desc(), c.id).limit(1))
    source_id = bunker.source.snapshot_id if bunker.source else None
    base_id: str | None = found[0] if found else source_id
    if base_id is None or base_id == bunker.base_snapshot_id:
        return base_id
    return base_id if await hold(op, db, base_id) else None


async def find(op: Operation, db: Reader, snapshot_id: str) -> Snapshot | None:
    """The snapshot of that id, whatever it is for and whether or not it is deleted."""
    row = await db.row(select(snapshots).where(snapshots.c.id == snapshot_id, reachable(op)))
    return from_row(row) if row else None


async def listing(op: Operation, db: Reader, page: PageRequest, wanted: Filter) -> Slice[Snapshot]:
    """Snapshots that the caller may reach, newest first."""
    c = snapshots.c
    query = select(snapshots).where(_shown(op), reachable(op))
    if wanted.bunker_id is not None:
        query = query.where(c.bunker_id == wanted.bunker_id)
    if wanted.status is not None:
        query = query.where(c.status == wanted.status.value)
    if wanted.kind is not None:
        query = query.where(c.kind == wanted.kind.value)
    rows = await db.rows(newest_first(query, c.created_at, c.id, page))
    return page.slice([from_row(row) for row in rows], lambda s: (s.created_at, s.id))


async def count_by_status(op: Operation, db: Reader) -> dict[str, float]:
    """How many snapshots there are of each status, the deleted ones left out."""
    c = snapshots.c
    query = select(c.status, func.count().label("count")).where(
        reachable(op), c.deleted_at.is_(None)
    )
    found = {row["status"]: row["count"] for row in await db.rows(query.group_by(c.status))}
    return {status.value: float(found.get(status.value, 0)) for status in SnapshotStatus}


async def add(op: Operation, db: Writer, snapshot: Snapshot) -> None:  # noqa: ARG001
    """Store a new snapshot."""
    await db.execute(insert(snapshots).values(**to_row(snapshot)))


async def change(op: Operation, db: Writer, snapshot: Snapshot, changes: Mapping[str, Any]) -> bool:
    """Write changes, if the row still is what `snapshot` was read as; returns whether it was."""
    c = snapshots.c
    this = and_(c.id == snapshot.id, c.revision == snapshot.revision)
    query = update(snapshots).where(this, reachable(op))
    return await db.execute(query.values(revision=c.revision + 1, **changes)) == 1


async def counts(op: Operation, db: Writer, tenant_id: str) -> Counts:
    """What a tenant has, whoever in it owns them. The tenant's row is held, so that no other snapshot of
    it is counted in between."""
    await db.value(
        select(tenants.c.id)
        .where(tenants.c.id == tenant_id, of_tenant(op, tenants.c.id))
        .with_for_update()
    )
    c = snapshots.c
    query = select(c.status, func.count().label("count")).where(
        c.tenant_id == tenant_id,
        c.deleted_at.is_(None),
        c.purpose != Purpose.PASSIVATION.value,
        c.status != SnapshotStatus.FAILED.value,
        of_tenant(op, c.tenant_id),
    )
    found = {row["status"]: row["count"] for row in await db.rows(query.group_by(c.status))}
    unfinished = found.get(SnapshotStatus.CREATING.value, 0)
    return Counts(kept=sum(found.values()), unfinished=unfinished)


async def unfinished(op: Operation, db: Reader) -> list[str]:
    """Snapshots that are being created, the oldest first."""
    c = snapshots.c
    query = select(c.id).where(c.status == SnapshotStatus.CREATING.value, reachable(op))
    return list(await db.values(query.order_by(c.created_at)))


async def need(op: Operation, db: Reader, snapshot_id: str) -> Need:
    """What depends on it: a bunker is still to be made of it, or sleeps in it; another snapshot builds on its
    disk, or a bunker's next one may. What a bunker names passes to its snapshot: so bunkers are asked first."""
    b = bunkers.c
    building = and_(
        b.source_snapshot_id == snapshot_id, b.status.in_([state.value for state in MADE_OF])
    )
    asleep = and_(b.passive_snapshot_id == snapshot_id, b.status.in_(_LIVE))
    by_bunker = select(b.id).where(or_(building, asleep), of_tenant(op, b.tenant_id))
    if await db.values(by_bunker.limit(1)):
        return Need.WHOLE
    for dependent in _resting_on(op, literal(snapshot_id)):
        if await db.values(dependent.limit(1)):
            return Need.DISK
    return Need.NOTHING


def _resting_on(op: Operation, snapshot_id: ColumnElement[str]) -> Sequence[Select[tuple[str]]]:
    """The bunkers whose next snapshot, and then the snapshots that, may hold the differences to one."""
    b, above = bunkers.c, snapshots.alias("above")
    slept_in = and_(b.base_snapshot_id == snapshot_id, b.status.in_(_LIVE))
    built = and_(
        above.c.base_snapshot_id == snapshot_id,
        above.c.status != SnapshotStatus.FAILED.value,
    )
    reached = of_owner(op, above.c.tenant_id, above.c.owner_user_id, *ADMIN_KEYS)
    return (
        select(b.id).where(slept_in, of_tenant(op, b.tenant_id)),
        select(above.c.id).where(built, reached),
    )


async def remove(op: Operation, db: Writer, snapshot_id: str) -> None:
    """Drop the row of one that is deleted and of which nothing is stored any more."""
    c = snapshots.c
    this = and_(c.id == snapshot_id, c.deleted_at.is_not(None))
    await db.execute(delete(snapshots).where(this, reachable(op)))


async def expire(op: Operation, db: Writer, failed_before: datetime, limit: int) -> list[str]:
    """Delete, for their users, snapshots that have expired, and those that failed before a time. Returns
    which, at most `limit`."""
    c = snapshots.c
    has_failed = and_(c.status == SnapshotStatus.FAILED.value, c.moved_at < failed_before)
    due = (
        select(c.id)
        .where(c.deleted_at.is_(None), or_(c.expires_at <= op.now(), has_failed), reachable(op))
        .limit(limit)
    )
    found = list(await db.values(due))
    if found:
        query = update(snapshots).where(c.id.in_(found), c.deleted_at.is_(None), reachable(op))
        await db.execute(query.values(revision=c.revision + 1, deleted_at=op.now()))
    return found


async def unmoved(op: Operation, db: Reader, since: datetime, limit: int) -> list[Snapshot]:
    """Snapshots that are being created and have made no progress since then."""
    c = snapshots.c
    query = select(snapshots).where(
        c.status == SnapshotStatus.CREATING.value, c.moved_at < since, reachable(op)
    )
    return [from_row(row) for row in await db.rows(query.limit(limit))]


async def to_clear(op: Operation, db: Reader, after: str, limit: int) -> list[Snapshot]:
    """Snapshots that are over and of which something can go, by id: deleted ones, and those that have failed.
    A deleted one without memory upon which something rests has nothing to give."""
    c = snapshots.c
    dependents = (each.correlate(snapshots) for each in _resting_on(op, c.id))
    is_needed = or_(*(each.exists() for each in dependents))
    failed = and_(c.status == SnapshotStatus.FAILED.value, c.cleared_at.is_(None))
    query = select(snapshots).where(
        c.id > after,
        c.status != SnapshotStatus.CREATING.value,
        or_(c.deleted_at.is_not(None), failed),
        not_(and_(c.deleted_at.is_not(None), c.kind == SnapshotKind.DISK.value, is_needed)),
        reachable(op),
    )
    return [from_row(row) for row in await db.rows(query.order_by(c.id).limit(limit))]


async def stored_of(op: Operation, db: Reader, snapshot_ids: Collection[str]) -> set[str]:
    """Those of these of which something may rightly be stored."""
    c = snapshots.c
    query = select(c.id).where(c.id.in_(snapshot_ids), c.cleared_at.is_(None), reachable(op))
    return set(await db.values(query))


async def discard(op: Operation, db: Writer, snapshot_id: str) -> None:
    """Delete one, if it is not deleted yet: it goes as soon as nothing depends on it."""
    c = snapshots.c
    this = and_(c.id == snapshot_id, c.deleted_at.is_(None))
    await db.execute(
        update(snapshots)
        .where(this, reachable(op))
        .values(deleted_at=op.now(), revision=c.revision + 1)
    )


async def mark(op: Operation, db: Reader, name: str) -> str | None:  # noqa: ARG001
    """After which key background work goes on; None if it begins anew."""
    found = await db.values(select(marks.c.position).where(marks.c.name == name))
    return found[0] if found else None


async def set_mark(
    op: Operation,  # noqa: ARG001
    db: Writer,
    name: str,
    position: str | None,
) -> None:
    """Only one process does such work at a time."""
    if await db.values(select(marks.c.name).where(marks.c.name == name)):
        await db.execute(update(marks).where(marks.c.name == name).values(position=position))
    else:
        await db.execute(insert(marks).values(name=name, position=position))
