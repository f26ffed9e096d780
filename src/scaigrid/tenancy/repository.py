"""The SQL of tenants and users."""

from dataclasses import asdict

from sqlalchemy import RowMapping, insert, select

from scaigrid.db import Reader, Writer
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.tenancy.domain import Tenant, TenantStatus, User, UserStatus
from scaigrid.tenancy.scope import of_tenant, of_user
from scaigrid.tenancy.tables import tenant_modules, tenants, users


async def tenant(op: Operation, db: Reader, tenant_id: str) -> Tenant | None:
    """The tenant of that id, if the caller may know of it."""
    query = select(tenants).where(tenants.c.id == tenant_id, of_tenant(op, tenants.c.id))
    row = await db.row(query)
    return _tenant(row) if row else None


async def user(op: Operation, db: Reader, user_id: str) -> User | None:
    """The user of that id, if the caller administers it, or is it."""
    query = select(users).where(users.c.id == user_id, of_user(op, users.c.tenant_id, users.c.id))
    row = await db.row(query)
    return _user(row) if row else None


async def disabled_modules(op: Operation, db: Reader, tenant_id: str) -> frozenset[str]:
    """Ids of the modules that a tenant does not have."""
    t = tenant_modules
    query = select(t.c.module).where(
        t.c.tenant_id == tenant_id, t.c.enabled.is_(False), of_tenant(op, t.c.tenant_id)
    )
    return frozenset(await db.values(query))


async def tenant_by_name(op: Operation, db: Reader, name: str) -> Tenant | None:
    """The tenant of that name, if the caller may know of it."""
    query = select(tenants).where(tenants.c.name == name, of_tenant(op, tenants.c.id))
    row = await db.row(query)
    return _tenant(row) if row else None


async def add_tenant(op: Operation, db: Writer, name: str, partner_id: str | None = None) -> Tenant:
    """A new tenant. Raises IntegrityError if the name is taken."""
    tenant = Tenant(new_id("ten"), name, partner_id, TenantStatus.ACTIVE, op.now())
    await db.execute(insert(tenants).values(asdict(tenant)))
    return tenant


async def user_by_name(op: Operation, db: Reader, tenant_id: str, name: str) -> User | None:
    """The user of that name in that tenant, if the caller may know of it."""
    query = select(users).where(
        users.c.tenant_id == tenant_id, users.c.name == name, of_tenant(op, users.c.tenant_id)
    )
    row = await db.row(query)
    return _user(row) if row else None


async def add_user(
    op: Operation,
    db: Writer,
    tenant_id: str,
    name: str,
    role: str,
    subject: str | None = None,
) -> User:
    """A new user. Raises IntegrityError if the tenant has one of that name, or the subject is
    another user's."""
    user = User(new_id("usr"), tenant_id, name, role, UserStatus.ACTIVE, subject, op.now())
    await db.execute(insert(users).values(asdict(user)))
    return user


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(**{**row, "status": TenantStatus(row["status"])})


def _user(row: RowMapping) -> User:
    return User(**{**row, "status": UserStatus(row["status"])})
