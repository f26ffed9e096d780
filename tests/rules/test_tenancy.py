"""There is no way to the database around the caller's scope.

`scaigrid.db.guard` refuses at run time what has no scope. What it cannot see is in these rules:
where statements are made, who may look at all tenants, and that nothing talks to the driver.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
SERVER = sorted(
    path
    for folder in ("scaigrid", "scaibunker/controller", "scaibunker/dev")
    for path in (SRC / folder).rglob("*.py")
    if "migrations" not in path.parts
)
BUILDERS = {"select", "insert", "update", "delete", "union", "union_all", "exists", "table"}
MAKES_STATEMENTS = {
    "scaigrid/accounting/ledger.py",
    "scaigrid/accounting/sums.py",
    "scaigrid/audit/repository.py",
    "scaigrid/auth/repository.py",
    "scaigrid/groups/hierarchy.py",
    "scaigrid/groups/repository.py",
    "scaigrid/idempotency/repository.py",
    "scaigrid/permissions/assignment.py",
    "scaigrid/permissions/repository.py",
    "scaigrid/tasks/repository.py",
    "scaigrid/tenancy/repository.py",
    "scaigrid/tenancy/scope.py",
    "scaibunker/controller/bridges/repository.py",
    "scaibunker/controller/bunkers/activity.py",
    "scaibunker/controller/bunkers/repository.py",
    "scaibunker/controller/images/repository.py",
    "scaibunker/controller/quotas/applicable.py",
    "scaibunker/controller/quotas/holds.py",
    "scaibunker/controller/quotas/repository.py",
    "scaibunker/controller/relay/exec_log.py",
    "scaibunker/controller/relay/file_log.py",
    "scaibunker/controller/relay/overdue.py",
    "scaibunker/controller/relay/target.py",
    "scaibunker/controller/snapshots/repository.py",
    "scaibunker/controller/usage/egress.py",
    "scaibunker/controller/usage/repository.py",
    "scaibunker/controller/workers/places.py",
    "scaibunker/controller/workers/replicas.py",
    "scaibunker/controller/workers/repository.py",
}
ALLOWED = {
    # The guard's own marks: who makes one says what a caller may reach.
    "Scoped": {"scaigrid/db/guard.py", "scaigrid/tenancy/scope.py"},
    "lifted": {"scaigrid/db/guard.py", "scaigrid/db/migrate.py"},
    "install": {"scaigrid/db/guard.py", "scaigrid/db/mariadb.py", "scaigrid/db/sqlite.py"},
    # Rows of all tenants, for the platform: what a loop works on, or what it has found in a scope.
    "everywhere": {
        "scaigrid/tenancy/scope.py",
        "scaigrid/idempotency/repository.py",  # expired entries, swept
        "scaibunker/controller/bunkers/activity.py",  # times of activity, written in batches
        "scaibunker/controller/relay/exec_log.py",  # ends of commands, written in batches
        "scaibunker/controller/relay/overdue.py",  # commands that must have ended
        "scaibunker/controller/usage/egress.py",  # counters that workers report
        "scaibunker/controller/usage/repository.py",  # a minute of all bunkers
        "scaibunker/controller/quotas/applicable.py",  # what bounds a user, whoever made it
        "scaibunker/controller/quotas/holds.py",  # what is held of buckets, for counters
        "scaibunker/controller/quotas/repository.py",  # assignments of a profile that was found
        "scaibunker/controller/workers/places.py",  # sums over a worker's bunkers
        "scaibunker/controller/workers/repository.py",  # what workers hold
    },
    "as_platform": {
        "scaibunker/controller/quotas/applicable.py",  # what bounds a user, whoever made it
        "scaibunker/controller/quotas/holds.py",  # what is held of buckets, for counters
        "scaibunker/controller/quotas/recount.py",  # all that is held, for counters
        "scaibunker/controller/quotas/repository.py",  # assignments of a profile that was found
        "scaibunker/controller/quotas/service.py",  # whose a user is; its tenant must be in reach
        "scaibunker/controller/workers/places.py",  # sums over a worker's bunkers
        "scaibunker/controller/workers/repository.py",  # sums over a worker's bunkers
    },
    # SQL as text, and connections without the guard.
    "text": {"scaigrid/db/engine.py", "scaigrid/db/migrate.py"},
    "literal_column": set(),
    "exec_driver_sql": {"scaigrid/db/sqlite.py"},
    "create_engine": {"scaigrid/db/sqlite.py"},
    "create_async_engine": {"scaigrid/db/mariadb.py"},
    "get_raw_connection": set(),
}
UNITS = {"Reader", "Writer"}


def _name(path: Path) -> str:
    return str(path.relative_to(SRC))


def _imported(tree: ast.AST) -> set[str]:
    """Names that come from SQLAlchemy."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sqlalchemy"
        for alias in node.names
    }


def _called(tree: ast.AST) -> set[str]:
    """Names of what is called, whether as a function or as a method."""
    return {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }


def _from_outside(name: str, tree: ast.AST) -> bool:
    """Whether the called `name` may be the one that is meant, and not a namesake."""
    if name in {"text", "literal_column", "create_engine", "create_async_engine"}:
        return name in _imported(tree)
    if name == "install":
        return any(
            isinstance(node, ast.Attribute)
            and node.attr == "install"
            and isinstance(node.value, ast.Name)
            and node.value.id == "guard"
            for node in ast.walk(tree)
        )
    return True


@pytest.mark.parametrize("path", SERVER, ids=_name)
def test_statements_are_made_in_repositories(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if _name(path) not in MAKES_STATEMENTS:
        assert not _imported(tree) & BUILDERS
        assert not any(
            isinstance(node, ast.Import) and any(a.name == "sqlalchemy" for a in node.names)
            for node in ast.walk(tree)
        ), "import names, so that it can be seen which"


@pytest.mark.parametrize("path", SERVER, ids=_name)
def test_what_goes_beyond_a_scope_is_where_it_is_meant_to_be(path: Path) -> None:
    tree = ast.parse(path.read_text())
    called = {name for name in _called(tree) & set(ALLOWED) if _from_outside(name, tree)}
    assert [n for n in sorted(called) if _name(path) not in ALLOWED[n]] == []


def test_the_lists_name_nothing_that_is_gone() -> None:
    named = MAKES_STATEMENTS.union(*ALLOWED.values())
    assert sorted(named - {_name(path) for path in SERVER}) == []
    for path in SERVER:
        if _name(path) in MAKES_STATEMENTS:
            assert _imported(ast.parse(path.read_text())) & BUILDERS, path


def _outermost(tree: ast.Module) -> Iterator[ast.AST]:
    """Functions of a module and methods of its classes."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.ClassDef) else [node]


def _asking(tree: ast.Module) -> Iterator[tuple[str, list[ast.arg]]]:
    """Functions that take a unit of work, with their parameters."""
    for node in _outermost(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            taken = [arg for arg in node.args.args if arg.arg != "self"]
            if any(isinstance(a.annotation, ast.Name) and a.annotation.id in UNITS for a in taken):
                yield node.name, taken


@pytest.mark.parametrize("path", SERVER, ids=_name)
def test_who_asks_the_database_says_for_whom(path: Path) -> None:
    """The operation comes first. A function in a function has it from around it."""
    for name, taken in _asking(ast.parse(path.read_text())):
        first = taken[0].annotation
        assert isinstance(first, ast.Name), name
        assert first.id == "Operation", name
