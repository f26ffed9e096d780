"""No statement leaves its caller's scope: every one is looked at before it is compiled.

A table belongs to tenants if it is `tenants`, has a `tenant_id`, or refers to such a table. Each
SELECT, UPDATE and DELETE that touches one, at whatever depth, must narrow it by a `Scoped`
condition, which `tenancy.scope` alone makes, or reach it by its foreign key from a row that is
narrowed so. The condition counts where it cannot be bypassed: in the conjunction of WHERE or of an
inner join's ON, not under an OR or a NOT.

SQLAlchemy compiles a statement once and keeps the result under a key in which the conditions are
included, so that a statement that was looked at is not looked at again: this costs a request
nothing.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    Delete,
    Engine,
    FromClause,
    Insert,
    Join,
    Select,
    TableClause,
    TextClause,
    Update,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BooleanClauseList,
    ClauseElement,
    ColumnElement,
    Grouping,
)
from sqlalchemy.sql.selectable import AliasedReturnsRows
from sqlalchemy.sql.visitors import InternalTraversal

from scaigrid.db.types import metadata

ROOT = "tenants"
COLUMN = "tenant_id"
_WORD = re.compile(r"\w+")

_off: ContextVar[bool] = ContextVar("scaigrid_guard_off", default=False)


class Unscoped(Exception):
    """A statement would reach rows of tenants without asking who may: a fault in our code."""


class Scoped(Grouping[bool]):
    """A condition that narrows `covers` to what a caller may reach."""

    inherit_cache = True
    operator = None  # not the element's: an AND within an AND would be taken apart
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy's own form
        *Grouping._traverse_internals,  # noqa: SLF001
        ("covers", InternalTraversal.dp_clauseelement),
    ]
    _cache_key_traversal = [  # noqa: RUF012
        ("element", InternalTraversal.dp_clauseelement),
        ("covers", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, element: ColumnElement[bool], covers: FromClause) -> None:
        super().__init__(element)
        self.covers = covers


def install(engine: Engine) -> None:
    """Have every statement of this engine looked at."""
    plain: Any = engine.dialect.statement_compiler

    class Guarded(plain):  # type: ignore[misc]
        """The dialect's compiler, which is never reached by what is refused."""

        def __init__(self, dialect: Any, statement: Any, *args: Any, **kwargs: Any) -> None:
            if statement is not None and not _off.get():
                check(statement)
            super().__init__(dialect, statement, *args, **kwargs)

    engine.dialect.statement_compiler = Guarded


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """For migrations, which move rows of all tenants."""
    token = _off.set(True)
    try:
        yield
    finally:
        _off.reset(token)


def check(statement: ClauseElement) -> None:
    """Raise Unscoped for a statement that reaches rows of tenants without a scope."""
    _visit(statement, frozenset())


def belongs_to_tenants(table: FromClause) -> bool:
    """Whether rows of this table are a tenant's."""
    return isinstance(table, TableClause) and table.name in _names()


def _names() -> frozenset[str]:
    return _owned(len(metadata.tables))


@cache
def _owned(_tables: int) -> frozenset[str]:
    """Names of the tables of tenants; found again when there are more tables."""
    found = {t.name for t in metadata.tables.values() if t.name == ROOT or COLUMN in t.c}
    while True:
        more = {
            table.name
            for table in metadata.tables.values()
            if table.name not in found
            and any(key.target_fullname.split(".")[0] in found for key in table.foreign_keys)
        }
        if not more:
            return frozenset(found)
        found |= more


def _visit(element: ClauseElement, outer: frozenset[Any]) -> None:
    """Look at a statement, or for statements in an expression. `outer`: what encloses it and is
    narrowed already."""
    match element:
        case Scoped() | TableClause():
            return  # what is in a scope's own condition is the scope's business
        case Select():
            outer = _rows(element, _leaves(element), outer & _correlated(element))
        case Update() | Delete():
            _rows(element, _targets(element), frozenset())
        case Insert():
            _insert(element)
        case TextClause():
            _text(element)
        case AliasedReturnsRows():
            outer = frozenset()
    for child in element.get_children():
        _visit(child, outer)


def _correlated(query: Select[Any]) -> frozenset[Any]:
    return frozenset(getattr(query, "_correlate", ()) or ())


Facts = tuple[ColumnElement[Any], ...]
Leaf = tuple[FromClause, Facts]
"""A table and the conditions that each of its rows has to meet."""


def _leaves(query: Select[Any]) -> list[Leaf]:
    where = tuple(_conjunction(query._where_criteria))  # noqa: SLF001
    return [leaf for each in query.get_final_froms() for leaf in _sources(each, where)]


def _sources(source: FromClause, facts: Facts) -> Iterator[Leaf]:
    if not isinstance(source, Join):
        yield source, facts
        return
    on = () if source.onclause is None else tuple(_conjunction([source.onclause]))
    keeps_left, keeps_right = source.isouter or source.full, source.full
    yield from _sources(source.left, facts if keeps_left else facts + on)
    yield from _sources(source.right, facts if keeps_right else facts + on)


def _targets(change: Update | Delete) -> list[Leaf]:
    facts = tuple(_conjunction(change._where_criteria))  # noqa: SLF001
    others = [table for fact in facts for table in fact._from_objects]  # noqa: SLF001
    return [(table, facts) for table in dict.fromkeys([change.table, *others])]


def _conjunction(conditions: Iterable[Any]) -> Iterator[ColumnElement[Any]]:
    """The conditions that must all be met."""
    for each in conditions:
        if isinstance(each, BooleanClauseList) and each.operator is operators.and_:
            yield from _conjunction(each.clauses)
        elif isinstance(each, Grouping) and not isinstance(each, Scoped):
            yield from _conjunction([each.element])
        else:
            yield each


def _rows(
    statement: ClauseElement, leaves: Sequence[Leaf], inherited: frozenset[Any]
) -> frozenset[Any]:
    """All tables of a statement that are narrowed. Raises Unscoped if one is not that must be."""
    narrowed = set(inherited)
    left = [leaf for leaf in leaves if leaf[0] not in inherited]
    while found := [leaf for leaf in left if _is_narrowed(leaf, narrowed)]:
        narrowed.update(source for source, _ in found)
        left = [leaf for leaf in left if leaf[0] not in narrowed]
    if left:
        names = ", ".join(sorted({str(getattr(_base(leaf[0]), "name", "?")) for leaf in left}))
        raise Unscoped(f"{type(statement).__name__} of {names} without a scope: {statement}")
    return frozenset(narrowed)


def _is_narrowed(leaf: Leaf, narrowed: set[Any]) -> bool:
    source, facts = leaf
    if not belongs_to_tenants(_base(source)):
        return True  # nobody's, or a query that is looked at by itself
    return any(
        fact.covers is source if isinstance(fact, Scoped) else _links(fact, source, narrowed)
        for fact in facts
    )


def _base(source: FromClause) -> Any:
    base: Any = source
    while isinstance(base, AliasedReturnsRows):
        base = base.element
    return base


def _links(fact: ColumnElement[Any], source: FromClause, narrowed: set[Any]) -> bool:
    """Whether a row of `source` refers to one that is narrowed: by `=`, or by IN a query."""
    if not isinstance(fact, BinaryExpression):
        return False
    left, right = fact.left, fact.right
    if fact.operator is operators.eq:
        return any(
            getattr(one, "table", None) is source
            and getattr(other, "table", None) in narrowed
            and _refers(one, other)
            for one, other in ((left, right), (right, left))
        )
    if fact.operator is operators.in_op and getattr(left, "table", None) is source:
        query = right.element if isinstance(right, Grouping) else right
        query = getattr(query, "element", query)
        chosen = list(query.selected_columns) if isinstance(query, Select) else []
        return len(chosen) == 1 and _refers(left, chosen[0])
    return False


def _refers(child: Any, parent: Any) -> bool:
    """Whether the column `child` is a foreign key to `parent`, which may come from a query."""
    [ours] = child.base_columns
    return isinstance(ours, Column) and all(
        isinstance(column, Column) and ours.references(column) for column in parent.base_columns
    )


def _insert(insert: Insert) -> None:
    changes_old = getattr(insert, "_post_values_clause", None)
    for row in getattr(insert, "_multi_values", ()):
        for value in (value for values in row for value in _values(values)):
            _visit(value, frozenset())
    if changes_old is not None and belongs_to_tenants(insert.table):
        raise Unscoped(f"an INSERT into {insert.table.name} that may change another's row")


def _values(row: Any) -> Iterator[ClauseElement]:
    values = row.values() if isinstance(row, Mapping) else row
    yield from (value for value in values if isinstance(value, ClauseElement))


def _text(text: TextClause) -> None:
    found = _names().intersection(_WORD.findall(text.text.lower()))
    if found:
        raise Unscoped(f"text that names {', '.join(sorted(found))}: nobody can tell its scope")
