"""The SQL of groups and their members."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from scaigrid.db import Reader, Writer
from scaigrid.groups.domain import Group, Parents
from scaigrid.groups.hierarchy import groups_of
from scaigrid.groups.tables import group_members, groups
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.permissions.tables import custom_role_groups
from scaigrid.tenancy.domain import User, UserStatus
from scaigrid.tenancy.scope import of_tenant
from scaigrid.tenancy.tables import users


async def group(op: Operation, db: Reader, group_id: str, member: str | None) -> Group | None:
    """The group of that id, if the caller may know of it; with `member`, if that user is in it or
    in one below it."""
    query = select(groups).where(groups.c.id == group_id, of_tenant(op, groups.c.tenant_id))
    if member is not None:
        query = query.where(groups.c.id.in_(groups_of(op, member)))
    row = await db.row(query)
    return Group(**row) if row else None


async def listing(
    op: Operation,
    db: Reader,
    page: PageRequest,
    wanted: dict[str, str | None],
    member: str | None,
) -> Slice[Group]:
    """Groups that the caller may know of, newest first; `wanted` are columns and their values."""
    query = select(groups).where(of_tenant(op, groups.c.tenant_id))
    for name, value in wanted.items():
        if value is not None:
            query = query.where(groups.c[name] == value)
    if member is not None:
        query = query.where(groups.c.id.in_(groups_of(op, member)))
    rows = await db.rows(newest_first(query, groups.c.created_at, groups.c.id, page))
    return page.slice([Group(**row) for row in rows], lambda g: (g.created_at, g.id))


async def parents(op: Operation, db: Reader, tenant_id: str) -> Parents:
    """Every group of a tenant with the one above it."""
    query = select(groups.c.id, groups.c.parent_id).where(
        groups.c.tenant_id == tenant_id, of_tenant(op, groups.c.tenant_id)
    )
    return {row["id"]: row["parent_id"] for row in await db.rows(query)}


async def add(op: Operation, db: Writer, made: Group) -> None:  # noqa: ARG001
    """Store a new group. Raises IntegrityError if its tenant has one of that name."""
    await db.execute(insert(groups).values(asdict(made)))


async def change(op: Operation, db: Writer, group_id: str, values: dict[str, Any]) -> None:
    """Change a group that the caller reaches. Raises IntegrityError if its tenant has another one
    of that name."""
    this = (groups.c.id == group_id) & of_tenant(op, groups.c.tenant_id)
    await db.execute(update(groups).where(this).values(values))


async def is_empty(op: Operation, db: Reader, group_id: str) -> bool:
    """Whether a group has neither members nor groups below it."""
    below = select(func.count()).where(
        groups.c.parent_id == group_id, of_tenant(op, groups.c.tenant_id)
    )
    within = (
        select(func.count())
        .select_from(group_members.join(groups, groups.c.id == group_members.c.group_id))
        .where(group_members.c.group_id == group_id, of_tenant(op, groups.c.tenant_id))
    )
    return not await db.value(below) and not await db.value(within)


async def remove(op: Operation, db: Writer, group_id: str) -> None:
    """Delete an empty group that the caller reaches, and what custom roles it has."""
    of = of_tenant(op, groups.c.tenant_id)
    reached = select(groups.c.id).where(groups.c.id == group_id, of)
    await db.execute(delete(custom_role_groups).where(custom_role_groups.c.group_id.in_(reached)))
    await db.execute(delete(groups).where(groups.c.id == group_id, of))


async def members(op: Operation, db: Reader, group_id: str, page: PageRequest) -> Slice[User]:
    """The users in a group, not those in groups below it, the newest user first."""
    query = (
        select(users)
        .join(group_members, group_members.c.user_id == users.c.id)
        .where(group_members.c.group_id == group_id, of_tenant(op, users.c.tenant_id))
    )
    rows = await db.rows(newest_first(query, users.c.created_at, users.c.id, page))
    found = [User(**{**row, "status": UserStatus(row["status"])}) for row in rows]
    return page.slice(found, lambda u: (u.created_at, u.id))


async def add_member(op: Operation, db: Writer, group_id: str, user_id: str) -> None:
    """Put a user into a group; does nothing if it is there. The caller has found both and made
    sure that they are of one tenant."""
    query = (
        select(group_members.c.user_id)
        .join(groups, groups.c.id == group_members.c.group_id)
        .where(
            group_members.c.group_id == group_id,
            group_members.c.user_id == user_id,
            of_tenant(op, groups.c.tenant_id),
        )
    )
    if await db.value(query) is None:
        await db.execute(insert(group_members).values(group_id=group_id, user_id=user_id))


async def remove_member(op: Operation, db: Writer, group_id: str, user_id: str) -> None:
    """Take a user out of a group; does nothing if it is not there."""
    reached = select(groups.c.id).where(groups.c.id == group_id, of_tenant(op, groups.c.tenant_id))
    await db.execute(
        delete(group_members).where(
            group_members.c.group_id.in_(reached), group_members.c.user_id == user_id
        )
    )
