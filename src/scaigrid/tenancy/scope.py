"""What a caller may reach: the one place where a tenant filter is made.

Every repository query is narrowed by one of these. A row outside the scope does not exist for the
caller: it answers 404, never 403.
"""

from sqlalchemy import Column, ColumnElement, true

from scaigrid.operation import Operation, System


def of_tenant(op: Operation, column: "Column[str]") -> ColumnElement[bool]:
    """Rows of the caller's own tenant; all rows for the platform itself."""
    if isinstance(op.caller, System):
        return true()
    return column == op.caller.tenant_id


def of_owner(
    op: Operation, tenant: "Column[str]", owner: "Column[str]", *admin: str
) -> ColumnElement[bool]:
    """Rows that the caller owns; all of its tenant if it holds one of the `admin` keys."""
    if isinstance(op.caller, System):
        return true()
    scope = tenant == op.caller.tenant_id
    return scope if op.caller.holds(*admin) else scope & (owner == op.caller.user_id)
