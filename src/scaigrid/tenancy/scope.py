"""What a caller may reach: the one place where a tenant filter is made.

Every repository query is narrowed by one of these, and `db.guard` refuses one that is not. A row
outside the scope does not exist for the caller: it answers 404, never 403.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, or_, select, true

from scaigrid.db.guard import Scoped
from scaigrid.operation import Caller, Operation, System
from scaigrid.permissions.domain import Role
from scaigrid.tenancy.tables import tenants


def of_tenant(op: Operation, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Rows of the tenants in the caller's reach: its own; for a partner's administrators those of
    their partner too; for super-admins and the platform itself all."""
    return Scoped(_in_reach(op, column), _table(column))


def of_tenant_or_shared(
    op: Operation, column: ColumnElement[Any], shared: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Rows of the tenants in the caller's reach, and those that `shared` says are everybody's."""
    return Scoped(or_(shared, _in_reach(op, column)), _table(column))


def of_own_tenant_or_shared(
    op: Operation, column: ColumnElement[Any], shared: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Rows of the caller's own tenant alone, however far it reaches, and those that `shared` says
    are everybody's: what it may use."""
    return Scoped(or_(shared, _own(op, column)), _table(column))


def of_owner(
    op: Operation, tenant: ColumnElement[Any], owner: ColumnElement[Any], *admin: str
) -> ColumnElement[bool]:
    """Rows that the caller owns; all within its reach if it holds one of the `admin` keys."""
    if isinstance(op.caller, System) or op.caller.holds(*admin):
        return of_tenant(op, tenant)
    return Scoped(_own(op, tenant) & (owner == op.caller.user_id), _table(tenant))


def of_user(
    op: Operation, tenant: ColumnElement[Any], user: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Rows about users that the caller administers, or about itself."""
    if isinstance(op.caller, System) or is_admin(op.caller):
        return of_tenant(op, tenant)
    return Scoped(_own(op, tenant) & (user == op.caller.user_id), _table(tenant))


def everywhere(op: Operation, table: FromClause) -> ColumnElement[bool]:
    """All rows of a table, whosever they are: for the platform's own operations alone.

    What is done for a request uses it through `Operation.as_platform`, which says what for.
    """
    if not isinstance(op.caller, System):
        raise TypeError(f"an operation of {op.caller.user_id} has no reach over all tenants")
    return Scoped(true(), table)


def is_admin(caller: Caller) -> bool:
    """Whether the caller administers what is in its reach."""
    return caller.role in ADMINISTRATORS


ADMINISTRATORS = frozenset({Role.SUPER_ADMIN, Role.PARTNER_ADMIN, Role.TENANT_ADMIN})


def _own(op: Operation, column: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(op.caller, System):
        return true()
    return column == op.caller.tenant_id


def _in_reach(op: Operation, column: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(op.caller, System) or op.caller.role == Role.SUPER_ADMIN:
        return true()
    own = column == op.caller.tenant_id
    if op.caller.role == Role.PARTNER_ADMIN and op.caller.partner_id is not None:
        theirs = select(tenants.c.id).where(tenants.c.partner_id == op.caller.partner_id)
        return or_(own, column.in_(theirs))
    return own


def _table(column: ColumnElement[Any]) -> FromClause:
    table = getattr(column, "table", None)
    if not isinstance(table, FromClause):
        raise TypeError(f"{column} is no column of a table")
    return table
