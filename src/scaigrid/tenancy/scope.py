"""What a caller may reach: the one place where a tenant filter is made.

Every repository query is narrowed by one of these. A row outside the scope does not exist for the
caller: it answers 404, never 403.
"""

from sqlalchemy import Column, ColumnElement, or_, select, true

from scaigrid.operation import Caller, Operation, System
from scaigrid.permissions.domain import Role
from scaigrid.tenancy.tables import tenants


def of_tenant(op: Operation, column: "Column[str]") -> ColumnElement[bool]:
    """Rows of the tenants in the caller's reach: its own; for a partner's administrators those of
    their partner too; for super-admins and the platform itself all."""
    if isinstance(op.caller, System) or op.caller.role == Role.SUPER_ADMIN:
        return true()
    own = column == op.caller.tenant_id
    if op.caller.role == Role.PARTNER_ADMIN and op.caller.partner_id is not None:
        theirs = select(tenants.c.id).where(tenants.c.partner_id == op.caller.partner_id)
        return or_(own, column.in_(theirs))
    return own


def of_own_tenant(op: Operation, column: "Column[str]") -> ColumnElement[bool]:
    """Rows of the caller's own tenant alone, however far it reaches: what it may use."""
    if isinstance(op.caller, System):
        return true()
    return column == op.caller.tenant_id


def of_owner(
    op: Operation, tenant: "Column[str]", owner: "Column[str]", *admin: str
) -> ColumnElement[bool]:
    """Rows that the caller owns; all within its reach if it holds one of the `admin` keys."""
    if isinstance(op.caller, System):
        return true()
    if op.caller.holds(*admin):
        return of_tenant(op, tenant)
    return (tenant == op.caller.tenant_id) & (owner == op.caller.user_id)


def of_user(op: Operation, tenant: "Column[str]", user: "Column[str]") -> ColumnElement[bool]:
    """Rows about users that the caller administers, or about itself."""
    if isinstance(op.caller, System) or is_admin(op.caller):
        return of_tenant(op, tenant)
    return (tenant == op.caller.tenant_id) & (user == op.caller.user_id)


def is_admin(caller: Caller) -> bool:
    """Whether the caller administers what is in its reach."""
    return caller.role in ADMINISTRATORS


ADMINISTRATORS = frozenset({Role.SUPER_ADMIN, Role.PARTNER_ADMIN, Role.TENANT_ADMIN})
