"""The SQL of custom roles, and of what they and single permissions give to whom."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import RowMapping, delete, insert, or_, select, update

from scaigrid.db import Reader, Writer
from scaigrid.groups.hierarchy import groups_of
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.permissions.domain import CustomRole
from scaigrid.permissions.tables import (
    custom_role_groups,
    custom_role_members,
    custom_role_permissions,
    custom_roles,
    user_permissions,
)
from scaigrid.tenancy.scope import of_tenant
from scaigrid.tenancy.tables import users

# -- what a user holds


async def custom_permissions(op: Operation, db: Reader, user_id: str) -> frozenset[str]:
    """The keys that a user has beyond its role: by itself, from its custom roles, and from those of
    its groups and of the groups that these are in."""
    by_itself = (
        select(custom_role_members.c.role_id)
        .join(users, users.c.id == custom_role_members.c.user_id)
        .where(users.c.id == user_id, of_tenant(op, users.c.tenant_id))
    )
    by_group = select(custom_role_groups.c.role_id).where(
        custom_role_groups.c.group_id.in_(groups_of(op, user_id))
    )
    from_roles = (
        select(custom_role_permissions.c.permission)
        .join(custom_roles, custom_roles.c.id == custom_role_permissions.c.role_id)
        .where(
            or_(custom_roles.c.id.in_(by_itself), custom_roles.c.id.in_(by_group)),
            of_tenant(op, custom_roles.c.tenant_id),
        )
    )
    own = (
        select(user_permissions.c.permission)
        .join(users, users.c.id == user_permissions.c.user_id)
        .where(users.c.id == user_id, of_tenant(op, users.c.tenant_id))
    )
    return frozenset(await db.values(from_roles)) | frozenset(await db.values(own))


async def user_permissions_of(op: Operation, db: Reader, user_id: str) -> frozenset[str]:
    """The keys that a user has by itself."""
    query = (
        select(user_permissions.c.permission)
        .join(users, users.c.id == user_permissions.c.user_id)
        .where(users.c.id == user_id, of_tenant(op, users.c.tenant_id))
    )
    return frozenset(await db.values(query))


async def set_user_permissions(
    op: Operation, db: Writer, user_id: str, permissions: Iterable[str]
) -> None:
    """Give a user, whom the caller has found, exactly these keys by itself."""
    reached = select(users.c.id).where(users.c.id == user_id, of_tenant(op, users.c.tenant_id))
    held = user_permissions
    await db.execute(delete(held).where(held.c.user_id.in_(reached)))
    rows = [{"user_id": user_id, "permission": key} for key in sorted(set(permissions))]
    if rows:
        await db.execute(insert(held), rows)


# -- custom roles


async def custom_role(
    op: Operation, db: Reader, role_id: str, *, lock: bool = False
) -> CustomRole | None:
    """The custom role of that id, if the caller may know of it; nobody else changes it while it is
    locked."""
    query = select(custom_roles).where(
        custom_roles.c.id == role_id, of_tenant(op, custom_roles.c.tenant_id)
    )
    row = await db.row(query.with_for_update() if lock else query)
    return (await _whole(op, db, [row]))[0] if row else None


async def list_custom_roles(
    op: Operation, db: Reader, page: PageRequest, tenant_id: str | None
) -> Slice[CustomRole]:
    """Custom roles that the caller may know of, newest first."""
    query = select(custom_roles).where(of_tenant(op, custom_roles.c.tenant_id))
    if tenant_id is not None:
        query = query.where(custom_roles.c.tenant_id == tenant_id)
    rows = await db.rows(newest_first(query, custom_roles.c.created_at, custom_roles.c.id, page))
    return page.slice(await _whole(op, db, rows), lambda r: (r.created_at, r.id))


async def add_custom_role(op: Operation, db: Writer, role: CustomRole) -> None:
    """Store a new custom role. Raises IntegrityError if its tenant has one of that name."""
    await db.execute(
        insert(custom_roles).values(
            id=role.id, tenant_id=role.tenant_id, name=role.name, created_at=role.created_at
        )
    )
    await _add_permissions(op, db, role.id, role.permissions)


async def change_custom_role(
    op: Operation, db: Writer, role_id: str, name: str | None, permissions: Iterable[str] | None
) -> None:
    """Change a custom role that the caller has found. Raises IntegrityError if its tenant has
    another one of that name."""
    if name is not None:
        this = (custom_roles.c.id == role_id) & of_tenant(op, custom_roles.c.tenant_id)
        await db.execute(update(custom_roles).where(this).values(name=name))
    if permissions is not None:
        await _clear(op, db, custom_role_permissions, role_id)
        await _add_permissions(op, db, role_id, permissions)


async def delete_custom_role(op: Operation, db: Writer, role_id: str) -> None:
    """Take a custom role, which the caller has found, from everyone and delete it."""
    for table in (custom_role_members, custom_role_groups, custom_role_permissions):
        await _clear(op, db, table, role_id)
    this = (custom_roles.c.id == role_id) & of_tenant(op, custom_roles.c.tenant_id)
    await db.execute(delete(custom_roles).where(this))


async def set_custom_role(
    op: Operation, db: Writer, tenant_id: str, name: str, permissions: Iterable[str]
) -> str:
    """Make the custom role, or give it exactly these keys if it is there; returns its id."""
    query = select(custom_roles.c.id).where(
        custom_roles.c.tenant_id == tenant_id,
        custom_roles.c.name == name,
        of_tenant(op, custom_roles.c.tenant_id),
    )
    role_id: str | None = await db.value(query)
    keys = tuple(sorted(set(permissions)))
    if role_id is not None:
        await change_custom_role(op, db, role_id, None, keys)
        return role_id
    role = CustomRole(new_id("rol"), tenant_id, name, keys, op.now())
    await add_custom_role(op, db, role)
    return role.id


async def _add_permissions(
    op: Operation,  # noqa: ARG001
    db: Writer,
    role_id: str,
    permissions: Iterable[str],
) -> None:
    rows = [{"role_id": role_id, "permission": key} for key in sorted(set(permissions))]
    if rows:
        await db.execute(insert(custom_role_permissions), rows)


async def _clear(op: Operation, db: Writer, table: Any, role_id: str) -> None:
    reached = select(custom_roles.c.id).where(
        custom_roles.c.id == role_id, of_tenant(op, custom_roles.c.tenant_id)
    )
    await db.execute(delete(table).where(table.c.role_id.in_(reached)))


async def _whole(op: Operation, db: Reader, rows: Sequence[RowMapping]) -> list[CustomRole]:
    """Custom roles with their keys, from their rows."""
    carried = custom_role_permissions
    query = (
        select(carried.c.role_id, carried.c.permission)
        .join(custom_roles, custom_roles.c.id == carried.c.role_id)
        .where(
            carried.c.role_id.in_([row["id"] for row in rows]),
            of_tenant(op, custom_roles.c.tenant_id),
        )
        .order_by(carried.c.permission)
    )
    keys: dict[str, list[str]] = {row["id"]: [] for row in rows}
    for found in await db.rows(query):
        keys[found["role_id"]].append(found["permission"])
    return [CustomRole(**{**row, "permissions": tuple(keys[row["id"]])}) for row in rows]
