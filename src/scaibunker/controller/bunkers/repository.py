"""The SQL of bunkers. Every query is narrowed to what the operation's caller may reach.

The status of a row is written by `move` alone, which `states.States` calls. Whatever changes what a
bunker is, what is wanted of it or its worker counts its revision up (`_changed`); a decision that was
made of a row as it was read is written only if the revision is still the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, false, func, insert, or_, select, true, update

from scaibunker.controller.bunkers.domain import Bunker, Desired, StatusChange
from scaibunker.controller.bunkers.lifecycle import LIVE, State
from scaibunker.controller.bunkers.rows import change_from_row, from_row, to_row
from scaibunker.controller.bunkers.tables import bunker_events, bunker_labels, bunkers
from scaibunker.controller.permissions import ADMIN_KEYS
from scaibunker.controller.workers import places
from scaibunker.controller.workers.tables import workers
from scaibunker.wire.api.bunkers import LifecycleMode, NetworkProfile
from scaigrid.db import Reader, Writer
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_owner

EXPIRED_AT_ONCE = 500
PASSING = (State.PENDING, State.PROVISIONING, State.SNAPSHOTTING)
"""States that a bunker does not stay in."""
_LIVE = sorted(state.value for state in LIVE)
_STEADY = [State.RUNNING.value, State.PAUSED.value]
_AWAKE = bunkers.c.passivated == false()
"""Those that sleep may be many times as many, and are of no concern to what looks at all the others. Not
`IS FALSE`: no index serves that."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which bunkers to list. A label without a value matches any value."""

    status: State | None = None
    lifecycle: LifecycleMode | None = None
    labels: Sequence[tuple[str, str | None]] = field(default=())


def reachable(op: Operation) -> ColumnElement[bool]:
    """What the caller may reach: its own bunkers; with an admin key all of its tenant's."""
    return of_owner(op, bunkers.c.tenant_id, bunkers.c.owner_user_id, *ADMIN_KEYS)


async def get(op: Operation, db: Reader, bunker_id: str) -> Bunker | None:
    """The bunker of that id, if the caller may reach it."""
    query = select(bunkers).where(bunkers.c.id == bunker_id, reachable(op))
    row = await db.row(query)
    return from_row(row) if row else None


async def listing(op: Operation, db: Reader, page: PageRequest, wanted: Filter) -> Slice[Bunker]:
    """Bunkers that the caller may reach, newest first."""
    query = select(bunkers).where(reachable(op))
    if wanted.status is not None:
        query = query.where(bunkers.c.status == wanted.status.value)
    if wanted.lifecycle is not None:
        query = query.where(bunkers.c.lifecycle_mode == wanted.lifecycle.value)
    for key, value in wanted.labels:
        label = select(bunker_labels.c.key).correlate(bunkers)
        label = label.where(bunker_labels.c.bunker_id == bunkers.c.id, bunker_labels.c.key == key)
        if value is not None:
            label = label.where(bunker_labels.c.value == value)
        query = query.where(label.exists())
    rows = await db.rows(newest_first(query, bunkers.c.created_at, bunkers.c.id, page))
    return page.slice([from_row(row) for row in rows], lambda b: (b.created_at, b.id))


async def count_by_status(op: Operation, db: Reader) -> dict[str, float]:
    """How many bunkers are in each state that is not an end."""
    status = bunkers.c.status
    query = select(status, func.count().label("count")).where(reachable(op), status.in_(_LIVE))
    found = {row["status"]: row["count"] for row in await db.rows(query.group_by(status))}
    return {state: float(found.get(state, 0)) for state in _LIVE}


async def networks_in_use(op: Operation, db: Reader) -> dict[str, tuple[int, int]]:
    """Of each network profile: how many bunkers with it are on a worker, and the sum of their bandwidths in Mbit/s.
    That is 0 where there is no device, whatever was asked for."""
    c = bunkers.c
    query = (
        select(
            c.network_profile,
            func.count().label("count"),
            func.sum(func.coalesce(c.bandwidth_mbit, 0)).label("mbit"),
        )
        .where(reachable(op), c.status.in_(_LIVE), c.worker_id.is_not(None))
        .group_by(c.network_profile)
    )
    found = {row["network_profile"]: row for row in await db.rows(query)}
    in_use = {profile.value: (0, 0) for profile in NetworkProfile}
    for profile, row in found.items():
        mbit = 0 if profile == NetworkProfile.ISOLATED else int(row["mbit"])
        in_use[profile] = (int(row["count"]), mbit)
    return in_use


async def add(op: Operation, db: Writer, bunker: Bunker) -> None:
    """Store a new bunker with its labels and its first event."""
    await db.execute(insert(bunkers).values(**to_row(bunker)))
    labels = [
        {"bunker_id": bunker.id, "key": key, "value": value} for key, value in bunker.labels.items()
    ]
    if labels:
        await db.execute(insert(bunker_labels), labels)
    await _record(op, db, bunker, None, bunker.status, None, passivated=False)


async def move(
    op: Operation,
    db: Writer,
    bunker: Bunker,
    target: State,
    reason: str | None,
    changes: Mapping[str, Any],
) -> bool:
    """Write a new status and its event, if the row still is what `bunker` was read as. Returns
    False if it is not, and then nothing was written."""
    count = await db.execute(
        _changed()
        .where(_as_read(bunker), reachable(op))
        .values(status=target.value, status_reason=reason, **changes)
    )
    if count != 1:
        return False
    passivated = bool(changes.get("passivated", bunker.passivated))
    await _record(op, db, bunker, bunker.status, target, reason, passivated=passivated)
    return True


async def passivate(op: Operation, db: Writer, bunker: Bunker, reason: str) -> bool:
    """It sleeps from now on, and has no worker; it stays `paused`, and there is an event all the same.
    Returns False if the row is not what it was read as, and then nothing was written."""
    passivated = await change(
        op,
        db,
        bunker,
        passivated=True,
        base_snapshot_id=None,
        status_reason=reason,
        worker_id=None,
        gpu_type_held=None,
        placed_at=None,
        refused_by=None,
    )
    if passivated:
        await leave(op, db, bunker)
        await _record(op, db, bunker, bunker.status, bunker.status, reason, passivated=True)
    return passivated


async def change(op: Operation, db: Writer, bunker: Bunker, **changes: Any) -> bool:
    """Write something else than a status, if the row still is what `bunker` was read as. Returns False
    if it is not, and then nothing was written."""
    return (
        await db.execute(_changed().where(_as_read(bunker), reachable(op)).values(**changes)) == 1
    )


def _changed() -> Update:
    """An update that counts the revision up."""
    return update(bunkers).values(revision=bunkers.c.revision + 1)


def _as_read(bunker: Bunker) -> ColumnElement[bool]:
    """Nobody has moved it, wants something else of it, or has given it to another worker; not even
    there and back again."""
    return and_(bunkers.c.id == bunker.id, bunkers.c.revision == bunker.revision)


async def _record(
    op: Operation,
    db: Writer,
    bunker: Bunker,
    previous: State | None,
    status: State,
    reason: str | None,
    *,
    passivated: bool,
) -> None:
    """Store a change of state. The transaction has written the bunker's row before: who changes a
    bunker takes turns, so that its events become visible in the order of their numbers."""
    await db.execute(
        insert(bunker_events).values(
            bunker_id=bunker.id,
            tenant_id=bunker.tenant_id,
            status=status.value,
            previous=previous.value if previous else None,
            reason=reason,
            passivated=passivated,
            at=op.now(),
        )
    )


async def desire(
    op: Operation,
    db: Writer,
    bunker_id: str,
    desired: Desired,
    reason: str | None,
    *,
    while_in: Iterable[State] = LIVE,
) -> bool:
    """Write what is wanted of a bunker, if it is in one of these states and is not to end anyway."""
    query = _changed().where(
        bunkers.c.id == bunker_id,
        bunkers.c.status.in_([state.value for state in while_in]),
        bunkers.c.desired != Desired.TERMINATED.value,
        reachable(op),
    )
    return await db.execute(query.values(desired=desired.value, desired_reason=reason)) == 1


async def expire(op: Operation, db: Writer, bunker: Bunker, reason: str | None) -> bool:
    """Want the end of a bunker whose time is up, unless it was used since it was read."""
    values = {"desired": Desired.TERMINATED.value, "desired_reason": reason}
    return await db.execute(_unused(op, bunker).values(**values)) == 1


async def want_asleep(op: Operation, db: Writer, bunker: Bunker, reason: str | None) -> bool:
    """Want a bunker passivated, unless it was used since it was read."""
    values = {
        "desired": Desired.PASSIVATED.value,
        "desired_reason": reason,
        "passivated_from": bunker.desired.value,
        "wake_refusal": None,
    }
    return await db.execute(_unused(op, bunker).values(**values)) == 1


def _unused(op: Operation, bunker: Bunker) -> Update:
    return _changed().where(
        _as_read(bunker), bunkers.c.last_activity_at == bunker.last_activity_at, reachable(op)
    )


async def assign(
    op: Operation, db: Writer, bunker: Bunker, worker_id: str | None, gpu_type: str | None = None
) -> bool:
    """Give a pending bunker to a worker whose place was taken in this transaction, or to none, and
    give its former place back; False if the row is not what it was read as."""
    count = await db.execute(
        _changed()
        .where(_as_read(bunker), bunkers.c.status == State.PENDING.value, reachable(op))
        .values(worker_id=worker_id, gpu_type_held=gpu_type)
    )
    if count != 1:
        return False
    await leave(op, db, bunker)
    return True


async def leave(op: Operation, db: Writer, bunker: Bunker) -> None:
    """Give back the place that a bunker had, as it was read, if it had one."""
    if bunker.worker_id is not None:
        await places.give_back(op, db, bunker.worker_id, bunker.shape, bunker.gpu_type_held)


async def changes(op: Operation, db: Reader, bunker_id: str, after: int) -> list[StatusChange]:
    """The changes of state of a bunker since the one with the sequence number `after`."""
    mine = select(bunkers.c.id).where(bunkers.c.id == bunker_id, reachable(op))
    query = (
        select(bunker_events)
        .where(bunker_events.c.bunker_id.in_(mine), bunker_events.c.sequence > after)
        .order_by(bunker_events.c.sequence)
        .limit(500)
    )
    return [change_from_row(row) for row in await db.rows(query)]


async def on_workers(
    op: Operation, db: Reader, worker_ids: Sequence[str]
) -> dict[str, dict[str, tuple[State, Desired]]]:
    """The live bunkers of workers that have any: what each is, and what it is wanted to be."""
    c = bunkers.c
    query = select(c.worker_id, c.id, c.status, c.desired).where(
        c.worker_id.in_(worker_ids), c.status.in_(_LIVE), reachable(op)
    )
    found: dict[str, dict[str, tuple[State, Desired]]] = {}
    for row in await db.rows(query):
        state = State(row["status"]), Desired(row["desired"])
        found.setdefault(row["worker_id"], {})[row["id"]] = state
    return found


async def unsettled(op: Operation, db: Reader) -> list[str]:
    """Bunkers that are not where they should be, or past their lifetime."""
    c = bunkers.c
    running, paused = State.RUNNING.value, State.PAUSED.value
    awake = select(c.id).where(
        reachable(op),
        _AWAKE,
        c.status.in_(_LIVE),
        or_(
            c.status.in_([state.value for state in PASSING]),
            c.desired == Desired.TERMINATED.value,
            and_(c.status == running, c.desired == Desired.PAUSED.value),
            and_(c.status == paused, c.desired == Desired.RUNNING.value),
            c.desired == Desired.PASSIVATED.value,
            c.passive_snapshot_id.is_not(None),
            and_(c.lifecycle_mode != LifecycleMode.PERSISTENT.value, c.expires_at <= op.now()),
        ),
    )
    roused = select(c.id).where(
        reachable(op),
        c.passivated == true(),
        c.status == paused,
        c.desired.in_([Desired.RUNNING.value, Desired.TERMINATED.value]),
    )
    return [*await db.values(awake), *await db.values(roused)]


async def expired(op: Operation, db: Reader) -> list[Bunker]:
    """Bunkers past their lifetime of which nobody wants the end yet, the oldest first."""
    c = bunkers.c
    query = (
        select(bunkers)
        .where(
            reachable(op),
            _AWAKE,
            c.status.in_(_LIVE),
            c.desired != Desired.TERMINATED.value,
            c.lifecycle_mode != LifecycleMode.PERSISTENT.value,
            c.expires_at <= op.now(),
        )
        .order_by(c.expires_at)
        .limit(EXPIRED_AT_ONCE)
    )
    return [from_row(row) for row in await db.rows(query)]


async def idle_limits(op: Operation, db: Reader) -> list[tuple[str, datetime, int]]:
    """Bunkers that end, or are passivated, when they are idle: id, last activity as stored, idle time-out
    in s."""
    c = bunkers.c
    query = select(c.id, c.last_activity_at, c.idle_timeout_s).where(
        reachable(op),
        _AWAKE,
        c.status.in_(_STEADY),
        c.idle_timeout_s.is_not(None),
        or_(c.lifecycle_mode != LifecycleMode.PERSISTENT.value, _may_sleep(op)),
    )
    rows = await db.rows(query)
    return [(row["id"], row["last_activity_at"], row["idle_timeout_s"]) for row in rows]


async def to_be_asleep(op: Operation, db: Reader) -> list[str]:
    """Bunkers that are to be passivated whether or not they are idle: they have been awake for long enough,
    or their worker is being emptied."""
    c = bunkers.c
    query = (
        select(c.id)
        .select_from(bunkers.outerjoin(workers, workers.c.id == c.worker_id))
        .where(
            reachable(op),
            c.status.in_(_STEADY),
            _may_sleep(op),
            or_(c.expires_at <= op.now(), workers.c.emptied_since.is_not(None)),
        )
    )
    return list(await db.values(query))


def _may_sleep(op: Operation) -> ColumnElement[bool]:
    """That it can be passivated, is not, and is not on its way there."""
    c = bunkers.c
    return and_(
        c.lifecycle_mode == LifecycleMode.PERSISTENT.value,
        c.network_profile != NetworkProfile.TRANSIT.value,
        _AWAKE,
        c.desired.in_([Desired.RUNNING.value, Desired.PAUSED.value]),
        or_(c.passivate_after.is_(None), c.passivate_after <= op.now()),
    )
