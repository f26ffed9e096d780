"""The SQL of who has a custom role: users by themselves, and groups."""

from sqlalchemy import delete, insert, select

from scaigrid.db import Reader, Writer
from scaigrid.groups.domain import Group
from scaigrid.groups.tables import groups
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.permissions.tables import custom_role_groups, custom_role_members, custom_roles
from scaigrid.tenancy.domain import User, UserStatus
from scaigrid.tenancy.scope import of_tenant
from scaigrid.tenancy.tables import users

_TABLES = {"user_id": custom_role_members, "group_id": custom_role_groups}


async def give(op: Operation, db: Writer, role_id: str, **whom: str) -> None:
    """Give a custom role to a `user_id` or a `group_id`; does nothing if it has it.

    The caller has found both and made sure that they are of one tenant.
    """
    [(column, value)] = whom.items()
    table = _TABLES[column]
    query = (
        select(table.c.role_id)
        .join(custom_roles, custom_roles.c.id == table.c.role_id)
        .where(
            table.c.role_id == role_id,
            table.c[column] == value,
            of_tenant(op, custom_roles.c.tenant_id),
        )
    )
    if await db.value(query) is None:
        await db.execute(insert(table).values(role_id=role_id, **whom))


async def take(op: Operation, db: Writer, role_id: str, **whom: str) -> None:
    """Take a custom role from a `user_id` or a `group_id`; does nothing if it does not have it."""
    [(column, value)] = whom.items()
    table = _TABLES[column]
    reached = select(custom_roles.c.id).where(
        custom_roles.c.id == role_id, of_tenant(op, custom_roles.c.tenant_id)
    )
    await db.execute(delete(table).where(table.c.role_id.in_(reached), table.c[column] == value))


async def members(op: Operation, db: Reader, role_id: str, page: PageRequest) -> Slice[User]:
    """The users who have a custom role by themselves, the newest user first."""
    query = (
        select(users)
        .join(custom_role_members, custom_role_members.c.user_id == users.c.id)
        .where(custom_role_members.c.role_id == role_id, of_tenant(op, users.c.tenant_id))
    )
    rows = await db.rows(newest_first(query, users.c.created_at, users.c.id, page))
    found = [User(**{**row, "status": UserStatus(row["status"])}) for row in rows]
    return page.slice(found, lambda u: (u.created_at, u.id))


async def groups_with(op: Operation, db: Reader, role_id: str, page: PageRequest) -> Slice[Group]:
    """The groups that have a custom role, the newest first."""
    query = (
        select(groups)
        .join(custom_role_groups, custom_role_groups.c.group_id == groups.c.id)
        .where(custom_role_groups.c.role_id == role_id, of_tenant(op, groups.c.tenant_id))
    )
    rows = await db.rows(newest_first(query, groups.c.created_at, groups.c.id, page))
    return page.slice([Group(**row) for row in rows], lambda g: (g.created_at, g.id))
