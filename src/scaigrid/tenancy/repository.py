"""The SQL of tenants and users."""

from sqlalchemy import insert, select

from scaigrid.db import Reader, Writer
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.tenancy.domain import Tenant, User
from scaigrid.tenancy.scope import of_tenant
from scaigrid.tenancy.tables import tenants, users


async def tenant_by_name(op: Operation, db: Reader, name: str) -> Tenant | None:
    """The tenant of that name, if the caller may know of it."""
    query = select(tenants).where(tenants.c.name == name, of_tenant(op, tenants.c.id))
    row = await db.row(query)
    return Tenant(**row) if row else None


async def add_tenant(op: Operation, db: Writer, name: str) -> Tenant:
    """A new tenant. Raises IntegrityError if the name is taken."""
    tenant = Tenant(new_id("ten"), name, op.now())
    await db.execute(
        insert(tenants).values(id=tenant.id, name=tenant.name, created_at=tenant.created_at)
    )
    return tenant


async def user_by_name(op: Operation, db: Reader, tenant_id: str, name: str) -> User | None:
    """The user of that name in that tenant, if the caller may know of it."""
    query = select(users).where(
        users.c.tenant_id == tenant_id, users.c.name == name, of_tenant(op, users.c.tenant_id)
    )
    row = await db.row(query)
    return User(**row) if row else None


async def add_user(op: Operation, db: Writer, tenant_id: str, name: str, role: str) -> User:
    """A new user. Raises IntegrityError if the tenant has one of that name."""
    user = User(new_id("usr"), tenant_id, name, role, op.now())
    await db.execute(
        insert(users).values(
            id=user.id, tenant_id=tenant_id, name=name, role=role, created_at=user.created_at
        )
    )
    return user
