"""The database's own clock, for what replicas must agree on whose clocks differ."""

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from scaigrid.db.types import UtcDateTime


class server_now(FunctionElement[Any]):  # noqa: N801 - is written like the function it is
    """The time at which the statement began, UTC; on SQLite to the millisecond."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(server_now)
def _default(_element: server_now, _compiler: Any, **_how: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(server_now, "mysql", "mariadb")
def _mariadb(_element: server_now, _compiler: Any, **_how: Any) -> str:
    return "UTC_TIMESTAMP(6)"
