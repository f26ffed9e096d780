"""The SQL of custom roles."""

from collections.abc import Iterable

from sqlalchemy import delete, insert, or_, select

from scaigrid.db import Reader, Writer
from scaigrid.groups.hierarchy import groups_of
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.permissions.tables import (
    custom_role_groups,
    custom_role_members,
    custom_role_permissions,
    custom_roles,
    user_permissions,
)
from scaigrid.tenancy.scope import of_tenant
from scaigrid.tenancy.tables import users


async def custom_permissions(op: Operation, db: Reader, user_id: str) -> frozenset[str]:
    """The keys that a user has beyond its role: by itself, from its custom roles, and from those of
    its groups and of the groups that these are in."""
    by_itself = select(custom_role_members.c.role_id).where(
        custom_role_members.c.user_id == user_id
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
    if role_id is None:
        role_id = new_id("rol")
        await db.execute(
            insert(custom_roles).values(
                id=role_id, tenant_id=tenant_id, name=name, created_at=op.now()
            )
        )
    held = custom_role_permissions
    await db.execute(delete(held).where(held.c.role_id == role_id))
    rows = [{"role_id": role_id, "permission": key} for key in sorted(set(permissions))]
    if rows:
        await db.execute(insert(held), rows)
    return role_id


async def add_member(op: Operation, db: Writer, role_id: str, user_id: str) -> None:
    """Give a user a custom role; does nothing if it has it."""
    members = custom_role_members
    query = (
        select(members.c.user_id)
        .join(custom_roles, custom_roles.c.id == members.c.role_id)
        .where(
            members.c.role_id == role_id,
            members.c.user_id == user_id,
            of_tenant(op, custom_roles.c.tenant_id),
        )
    )
    if await db.value(query) is None:
        await db.execute(insert(members).values(role_id=role_id, user_id=user_id))
