"""Looking into the database past the API: tests see rows of all tenants, and say so."""

from typing import TypeVar

from sqlalchemy import Delete, Select, Update

from scaigrid.clock import SystemClock
from scaigrid.operation import system_operation
from scaigrid.tenancy.scope import everywhere

_OP = system_operation("tests", SystemClock())
S = TypeVar("S", Select, Update, Delete)  # type: ignore[type-arg]


def whole(statement: S) -> S:
    """The statement, over all tenants."""
    tables = statement.get_final_froms() if isinstance(statement, Select) else [statement.table]
    return statement.where(*(everywhere(_OP, table) for table in tables))
