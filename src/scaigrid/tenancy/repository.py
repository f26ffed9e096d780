"""The SQL of partners, tenants, users, and of the modules that a tenant has."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from scaigrid.db import Reader, Writer
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.ids import new_id
from scaigrid.operation import Caller, Operation
from scaigrid.permissions.domain import Role
from scaigrid.tenancy.domain import Partner, Tenant, TenantStatus, User, UserStatus
from scaigrid.tenancy.scope import of_tenant, of_user
from scaigrid.tenancy.tables import partners, tenant_modules, tenants, users


@dataclass(frozen=True, slots=True)
class TenantFilter:
    """Which tenants to list; None is any."""

    name: str | None = None
    partner_id: str | None = None
    status: TenantStatus | None = None


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users to list; None is any."""

    tenant_id: str | None = None
    name: str | None = None
    role: Role | None = None
    status: UserStatus | None = None
    subject: str | None = None


async def tenant(op: Operation, db: Reader, tenant_id: str) -> Tenant | None:
    """The tenant of that id, if the caller may know of it."""
    query = select(tenants).where(tenants.c.id == tenant_id, of_tenant(op, tenants.c.id))
    row = await db.row(query)
    return _tenant(row) if row else None


async def locked_tenant(op: Operation, db: Writer, tenant_id: str) -> Tenant | None:
    """The same as `tenant`, held until the transaction ends."""
    query = select(tenants).where(tenants.c.id == tenant_id, of_tenant(op, tenants.c.id))
    row = await db.row(query.with_for_update())
    return _tenant(row) if row else None


async def user(op: Operation, db: Reader, user_id: str) -> User | None:
    """The user of that id, if the caller administers it, or is it."""
    query = select(users).where(users.c.id == user_id, of_user(op, users.c.tenant_id, users.c.id))
    row = await db.row(query)
    return _user(row) if row else None


async def user_of_subject(op: Operation, db: Reader, subject: str) -> User | None:
    """The user that an identity provider's tokens call so: by its subject, else by its id."""
    query = select(users).where(
        users.c.subject == subject, of_user(op, users.c.tenant_id, users.c.id)
    )
    row = await db.row(query)
    return _user(row) if row else await user(op, db, subject)


async def partner(op: Operation, db: Reader, partner_id: str) -> Partner | None:  # noqa: ARG001
    """The partner of that id. Partners are the platform's: the routes ask who may see them."""
    row = await db.row(select(partners).where(partners.c.id == partner_id))
    return Partner(**row) if row else None


async def list_partners(op: Operation, db: Reader, page: PageRequest) -> Slice[Partner]:  # noqa: ARG001
    """All partners, newest first."""
    query = newest_first(select(partners), partners.c.created_at, partners.c.id, page)
    rows = await db.rows(query)
    return page.slice([Partner(**row) for row in rows], lambda p: (p.created_at, p.id))


async def add_partner(op: Operation, db: Writer, name: str) -> Partner:
    """A new partner. Raises IntegrityError if the name is taken."""
    made = Partner(new_id("ptn", op.token), name, op.now())
    await db.execute(insert(partners).values(asdict(made)))
    return made


async def rename_partner(op: Operation, db: Writer, partner_id: str, name: str) -> bool:  # noqa: ARG001
    """Whether there was one to rename. Raises IntegrityError if the name is taken."""
    change = update(partners).where(partners.c.id == partner_id).values(name=name)
    return bool(await db.execute(change))


async def list_tenants(
    op: Operation, db: Reader, page: PageRequest, wanted: TenantFilter
) -> Slice[Tenant]:
    """The tenants in the caller's reach, newest first."""
    query = select(tenants).where(of_tenant(op, tenants.c.id))
    for column, value in (
        (tenants.c.name, wanted.name),
        (tenants.c.partner_id, wanted.partner_id),
        (tenants.c.status, wanted.status),
    ):
        query = query if value is None else query.where(column == value)
    rows = await db.rows(newest_first(query, tenants.c.created_at, tenants.c.id, page))
    return page.slice([_tenant(row) for row in rows], lambda t: (t.created_at, t.id))


async def change_tenant(
    op: Operation, db: Writer, tenant_id: str, values: Mapping[str, Any]
) -> Tenant | None:
    """The tenant as it is now. Raises IntegrityError if the name is taken."""
    if values:
        change = update(tenants).where(tenants.c.id == tenant_id, of_tenant(op, tenants.c.id))
        await db.execute(change.values(**values))
    return await tenant(op, db, tenant_id)


async def list_users(
    op: Operation, db: Reader, page: PageRequest, wanted: UserFilter
) -> Slice[User]:
    """The users that the caller administers, newest first."""
    query = select(users).where(of_user(op, users.c.tenant_id, users.c.id))
    for column, value in (
        (users.c.tenant_id, wanted.tenant_id),
        (users.c.name, wanted.name),
        (users.c.role, wanted.role),
        (users.c.status, wanted.status),
        (users.c.subject, wanted.subject),
    ):
        query = query if value is None else query.where(column == value)
    rows = await db.rows(newest_first(query, users.c.created_at, users.c.id, page))
    return page.slice([_user(row) for row in rows], lambda u: (u.created_at, u.id))


async def locked_user(op: Operation, db: Writer, user_id: str) -> User | None:
    """The same as `user`, held until the transaction ends."""
    query = select(users).where(users.c.id == user_id, of_user(op, users.c.tenant_id, users.c.id))
    row = await db.row(query.with_for_update())
    return _user(row) if row else None


async def change_user(op: Operation, db: Writer, user_id: str, values: Mapping[str, Any]) -> None:
    """Change a user. Raises IntegrityError if the name or the subject is taken."""
    mine = (users.c.id == user_id) & of_user(op, users.c.tenant_id, users.c.id)
    await db.execute(update(users).where(mine).values(**values))


async def super_admins(op: Operation, db: Writer) -> list[User]:
    """The super-admins who are let in: active, and of an active tenant. They are held until the
    transaction ends; in one order, so that two who look do not hold each other up."""
    query = (
        select(users)
        .where(
            users.c.role == Role.SUPER_ADMIN,
            users.c.status == UserStatus.ACTIVE,
            of_tenant(op, users.c.tenant_id),
        )
        .order_by(users.c.id)
        .with_for_update()
    )
    found = [_user(row) for row in await db.rows(query)]
    open_ = select(tenants.c.id).where(
        tenants.c.status == TenantStatus.ACTIVE,
        tenants.c.id.in_({each.tenant_id for each in found}),
        of_tenant(op, tenants.c.id),
    )
    active = set(await db.values(open_))  # read when the super-admins are held
    return [each for each in found if each.tenant_id in active]


async def roles_in(op: Operation, db: Reader, tenant_id: str) -> Sequence[str]:
    """The roles that active users of a tenant have."""
    query = select(users.c.role).distinct()
    return await db.values(
        query.where(
            users.c.tenant_id == tenant_id,
            users.c.status == UserStatus.ACTIVE,
            of_tenant(op, users.c.tenant_id),
        )
    )


async def set_module(
    op: Operation, db: Writer, tenant_id: str, module: str, *, enabled: bool
) -> None:
    """Say whether a tenant has a module. Raises IntegrityError if another does so at once."""
    t = tenant_modules
    mine = (t.c.tenant_id == tenant_id) & (t.c.module == module) & of_tenant(op, t.c.tenant_id)
    values = {"enabled": enabled, "changed_at": op.now()}
    if not await db.execute(update(t).where(mine).values(**values)):
        await db.execute(insert(t).values(tenant_id=tenant_id, module=module, **values))


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
    token = op.token if isinstance(op.caller, Caller) else None
    tenant = Tenant(new_id("ten", token), name, partner_id, TenantStatus.ACTIVE, op.now())
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
    token = op.token if isinstance(op.caller, Caller) else None  # the platform makes several
    user = User(new_id("usr", token), tenant_id, name, role, UserStatus.ACTIVE, subject, op.now())
    await db.execute(insert(users).values(asdict(user)))
    return user


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(**{**row, "status": TenantStatus(row["status"])})


def _user(row: RowMapping) -> User:
    return User(**{**row, "status": UserStatus(row["status"])})
