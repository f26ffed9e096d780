"""The SQL of API keys."""

import hmac
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, insert, select, update

from scaigrid.auth.domain import ApiKey
from scaigrid.auth.tables import api_keys
from scaigrid.db import Reader, Writer
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.permissions.domain import Role, may_manage
from scaigrid.tenancy.scope import of_tenant, of_user
from scaigrid.tenancy.tables import users

_COLUMNS = [column for column in api_keys.c if column.name != "digest"]


async def by_digest(op: Operation, db: Reader, digest: str) -> ApiKey | None:
    """The key that has that digest."""
    query = select(api_keys).where(api_keys.c.digest == digest, of_tenant(op, api_keys.c.tenant_id))
    row = await db.row(query)
    # The look-up is by an index; what decides is compared in constant time.
    found = row is not None and hmac.compare_digest(row["digest"], digest)
    return _key(row) if row is not None and found else None


async def add(op: Operation, db: Writer, key: ApiKey, digest: str) -> None:  # noqa: ARG001
    """Store a new key."""
    await db.execute(
        insert(api_keys).values(
            id=key.id,
            tenant_id=key.tenant_id,
            user_id=key.user_id,
            name=key.name,
            prefix=key.prefix,
            digest=digest,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


async def listing(op: Operation, db: Reader, page: PageRequest, user_id: str) -> Slice[ApiKey]:
    """The keys of a user that the caller administers, or is, newest first."""
    query = select(*_COLUMNS).where(_reachable(op), api_keys.c.user_id == user_id)
    rows = await db.rows(newest_first(query, api_keys.c.created_at, api_keys.c.id, page))
    return page.slice([_key(row) for row in rows], lambda k: (k.created_at, k.id))


async def get(op: Operation, db: Reader, key_id: str) -> ApiKey | None:
    """A key of a user that the caller administers, or is."""
    row = await db.row(select(api_keys).where(api_keys.c.id == key_id, _reachable(op)))
    return _key(row) if row else None


async def revoke(op: Operation, db: Writer, key_id: str, at: datetime) -> tuple[ApiKey, str] | None:
    """End a key; returns its record and digest. Ending it twice changes nothing."""
    mine = (api_keys.c.id == key_id) & _reachable(op)
    await db.execute(
        update(api_keys).where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=at)
    )
    row = await db.row(select(api_keys).where(mine))
    return (_key(row), row["digest"]) if row else None


async def revoke_all(op: Operation, db: Writer, user_id: str, at: datetime) -> None:
    """End all keys of a user."""
    mine = (api_keys.c.user_id == user_id) & _reachable(op)
    await db.execute(
        update(api_keys).where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=at)
    )


async def is_live(op: Operation, db: Reader, user_id: str, name: str) -> bool:
    """Whether the user has a good key of that name."""
    query = select(*_COLUMNS).where(
        api_keys.c.user_id == user_id,
        api_keys.c.name == name,
        of_tenant(op, api_keys.c.tenant_id),
    )
    rows = await db.rows(query)
    return any(_key(row).is_good(op.now()) for row in rows)


def _reachable(op: Operation) -> ColumnElement[bool]:
    """Keys of the caller's own, and of users that it administers: not of those above it."""
    managed = [role.value for role in Role if may_manage(op.user.role, role)]
    below = select(users.c.id).where(users.c.role.in_(managed), of_tenant(op, users.c.tenant_id))
    return of_user(op, api_keys.c.tenant_id, api_keys.c.user_id) & api_keys.c.user_id.in_(below)


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        name=row["name"],
        prefix=row["prefix"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
