"""The SQL of idempotency keys. An entry's id is made from its caller, which is its scope."""

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, select, update

from scaigrid.db import Writer
from scaigrid.idempotency.domain import KEPT_FOR, LEASE, Entry
from scaigrid.idempotency.tables import idempotency_keys as keys
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere, of_tenant

SWEPT_AT_ONCE = 500


async def find(op: Operation, db: Writer, entry_id: str) -> Entry | None:
    """The caller's entry, locked, if it is not expired."""
    query = select(keys).where(keys.c.id == entry_id, of_tenant(op, keys.c.tenant_id))
    row = await db.row(query.with_for_update())
    if row is None or row["expires_at"] <= op.now():
        return None
    fields = dict(row)
    del fields["tenant_id"]
    return Entry(**fields)


async def begin(op: Operation, db: Writer, entry_id: str, fingerprint: str) -> Entry:
    """A new entry, in place of an expired one. Raises IntegrityError if another attempt has just
    made one."""
    now = op.now()
    entry = Entry(entry_id, fingerprint, op.token, now + LEASE, now + KEPT_FOR, None, None, None)
    # Only an expired one: another attempt may have made its entry since this one found none.
    old = (keys.c.id == entry_id) & (keys.c.expires_at <= now)
    await db.execute(delete(keys).where(old, of_tenant(op, keys.c.tenant_id)))
    await db.execute(
        insert(keys).values(
            id=entry_id,
            tenant_id=op.user.tenant_id,
            fingerprint=fingerprint,
            token=entry.token,
            lease_until=entry.lease_until,
            expires_at=entry.expires_at,
        )
    )
    return entry


async def extend(op: Operation, db: Writer, entry: Entry) -> Entry | None:
    """Go on working on the request; None if another attempt has taken the entry over."""
    longer = replace(entry, lease_until=op.now() + LEASE)
    held = await _change(op, db, _held(entry), lease_until=longer.lease_until)
    return longer if held else None


async def lapse(op: Operation, db: Writer, entry: Entry) -> None:
    """Say that nobody works on the request any more, and that how far it came is not known."""
    await _change(op, db, _held(entry), lease_until=op.now())


async def finish(
    op: Operation, db: Writer, entry: Entry, status: int, media_type: str | None, body: bytes
) -> None:
    """Keep the answer, unless another attempt, which made the same, was faster."""
    answer = {"status": status, "media_type": media_type, "body": body}
    await _change(op, db, (keys.c.id == entry.id) & keys.c.status.is_(None), **answer)


async def _change(op: Operation, db: Writer, which: ColumnElement[bool], **values: Any) -> bool:
    mine = which & of_tenant(op, keys.c.tenant_id)
    return await db.execute(update(keys).where(mine).values(**values)) == 1


async def forget(op: Operation, db: Writer, entry: Entry) -> None:
    """Let the key be used again."""
    await db.execute(delete(keys).where(_held(entry), of_tenant(op, keys.c.tenant_id)))


def _held(entry: Entry) -> ColumnElement[bool]:
    """The entry, if the attempt that has seen it like this still holds it: whoever takes it over
    changes the end of its lease."""
    c = keys.c
    return and_(c.id == entry.id, c.lease_until == entry.lease_until, c.status.is_(None))


async def sweep(op: Operation, db: Writer) -> int:
    """Delete some of what has expired; returns how many, 0 when there is nothing left."""
    old = (keys.c.expires_at <= op.now()) & everywhere(op, keys)
    expired = list(await db.values(select(keys.c.id).where(old).limit(SWEPT_AT_ONCE)))
    if not expired:
        return 0
    # The time again: an entry may have been begun anew since it was read.
    return await db.execute(delete(keys).where(keys.c.id.in_(expired), old))
