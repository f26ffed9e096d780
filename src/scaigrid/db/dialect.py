"""How MariaDB spells our column types and tables, for every table and migration alike.

Text is compared byte by byte: MariaDB's default takes `a` for `A`, and `a` for `a `, which would
let two tenants have the same name and a lookup find another's row. Times have microseconds, and
text without a length has no limit but the request's, as on SQLite.
"""

from typing import Any

from sqlalchemy import DateTime, LargeBinary, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

_MARIADB = ("mysql", "mariadb")
_TABLE = "ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"


@compiles(CreateTable, *_MARIADB)
def _create_table(create: CreateTable, compiler: Any, **how: Any) -> str:
    return f"{compiler.visit_create_table(create, **how).rstrip()} {_TABLE}"


@compiles(DateTime, *_MARIADB)
def _time(_type: DateTime, _compiler: Any, **_how: Any) -> str:
    return "DATETIME(6)"


@compiles(Text, *_MARIADB)
def _text(_type: Text, _compiler: Any, **_how: Any) -> str:
    return "LONGTEXT"


@compiles(LargeBinary, *_MARIADB)
def _bytes(_type: LargeBinary, _compiler: Any, **_how: Any) -> str:
    return "LONGBLOB"
