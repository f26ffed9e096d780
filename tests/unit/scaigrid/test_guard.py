"""The guard: what is refused, what is let through, and that nothing goes around it."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    ClauseElement,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import sqlite

from scaibunker.controller.bunkers.tables import bunker_labels, bunkers
from scaibunker.controller.images.tables import images
from scaibunker.controller.quotas.tables import quota_epoch
from scaibunker.controller.relay.tables import execs
from scaibunker.controller.snapshots.tables import marks
from scaibunker.controller.workers.tables import workers
from scaigrid.accounting.tables import usage_ticks
from scaigrid.audit.tables import audit_log
from scaigrid.auth.tables import api_keys
from scaigrid.clock import SystemClock
from scaigrid.db import Database, guard, metadata
from scaigrid.db.batch import BatchWriter
from scaigrid.groups.tables import group_members, groups
from scaigrid.idempotency.tables import idempotency_keys
from scaigrid.operation import Caller, Operation, system_operation
from scaigrid.permissions.domain import Role
from scaigrid.permissions.tables import custom_role_permissions, custom_roles, user_permissions
from scaigrid.settings import DatabaseSettings
from scaigrid.tasks.tables import task_runs
from scaigrid.tenancy.scope import (
    everywhere,
    of_owner,
    of_tenant,
    of_tenant_or_shared,
    of_user,
)
from scaigrid.tenancy.tables import partners, tenants, users

CLOCK = SystemClock()
SYSTEM = system_operation("tests", CLOCK)


def operation(role: Role, partner: str | None = None) -> Operation:
    caller = Caller("usr_1", "ten_1", "n", role, frozenset(), partner_id=partner)
    return Operation(caller, "req_1", CLOCK)


USER = operation(Role.TENANT_USER)
OPS = [
    SYSTEM,
    USER,
    operation(Role.TENANT_ADMIN),
    operation(Role.PARTNER_ADMIN, "ptn_1"),
    operation(Role.PARTNER_ADMIN),
    operation(Role.SUPER_ADMIN),
]
B, E, U = bunkers.c, execs.c, users.c
other = bunkers.alias("other")


def mine(op: Operation) -> Any:
    return of_owner(op, B.tenant_id, B.owner_user_id, "scaibunker:admin")


def good(op: Operation) -> list[ClauseElement]:
    tree = select(groups.c.id).where(of_tenant(op, groups.c.tenant_id)).cte("t", recursive=True)
    tree = tree.union(
        select(groups.c.id)
        .join(tree, groups.c.parent_id == tree.c.id)
        .where(of_tenant(op, groups.c.tenant_id))
    )
    label = select(bunker_labels.c.key).correlate(bunkers)
    reached = select(B.id).where(B.id == "x", mine(op))
    return [
        select(workers),
        select(partners),
        select(task_runs).where(task_runs.c.name == "x"),
        select(func.count()),
        select(bunkers).where(mine(op)),
        select(bunkers).where(B.id == "x", mine(op), or_(B.status == "a", B.status == "b")),
        select(bunkers).where(and_(B.id == "x", and_(B.status == "x", mine(op)))),
        select(func.count()).select_from(bunkers).where(mine(op)),
        select(tenants).where(of_tenant(op, tenants.c.id)),
        select(users).where(of_user(op, U.tenant_id, U.id)).with_for_update(),
        select(images).where(of_tenant_or_shared(op, images.c.tenant_id, images.c.scope == "p")),
        select(other).where(of_tenant(op, other.c.tenant_id)),
        # By the foreign key from a row that is narrowed: join, outer join, IN, EXISTS, WHERE.
        select(execs).join(bunkers, B.id == E.bunker_id).where(mine(op)),
        select(execs, bunkers).where(E.bunker_id == B.id, mine(op)),
        select(bunkers, execs).outerjoin(execs, E.bunker_id == B.id).where(mine(op)),
        select(workers, bunkers).outerjoin(bunkers, and_(B.worker_id == workers.c.id, mine(op))),
        select(execs).where(E.bunker_id.in_(reached)),
        select(bunkers).where(mine(op), label.where(bunker_labels.c.bunker_id == B.id).exists()),
        select(group_members).join(tree, group_members.c.group_id == tree.c.id),
        select(select(B.id).where(mine(op)).subquery()),
        union_all(select(B.id).where(mine(op)), select(U.id).where(of_tenant(op, U.tenant_id))),
        update(bunkers).where(B.id == "x", mine(op)).values(status="x"),
        delete(execs).where(E.bunker_id.in_(reached)),
        insert(execs).values(id="x"),
        insert(custom_role_permissions).from_select(
            ["role_id"], select(custom_roles.c.id).where(of_tenant(op, custom_roles.c.tenant_id))
        ),
        text("SELECT 1"),
    ]


def bad(op: Operation) -> list[ClauseElement]:
    narrowed = mine(op)
    label = select(bunker_labels.c.key).where(bunker_labels.c.key == "k")
    tree = select(groups.c.id).where(of_tenant(op, groups.c.tenant_id)).cte("t", recursive=True)
    return [
        select(bunkers),
        select(B.id).where(B.tenant_id == "ten_1"),  # by hand is not by the scope
        select(tenants),
        select(func.count()).select_from(users),
        select(audit_log),
        select(usage_ticks),
        select(idempotency_keys).where(idempotency_keys.c.id == "x"),
        select(user_permissions).where(user_permissions.c.user_id == "x"),
        select(bunker_labels),
        select(group_members),
        # A scope that does not bind.
        select(bunkers).where(or_(B.id == "x", narrowed)),
        select(bunkers).where(not_(narrowed)),
        select(bunkers).where(B.status == "x", or_(B.id == "x", and_(narrowed, B.name == "y"))),
        select(bunkers).having(narrowed),
        select(bunkers, narrowed),
        select(bunkers).outerjoin(workers, and_(workers.c.id == B.worker_id, narrowed)),
        select(bunkers).join(workers, and_(workers.c.id == B.worker_id, narrowed), full=True),
        # A scope of another table, or of another use of the same one.
        select(users).where(of_tenant(op, tenants.c.id)),
        select(users, tenants).where(of_tenant(op, tenants.c.id)),
        select(bunkers, other).where(narrowed, other.c.id == B.id),
        select(bunkers, execs).where(narrowed),
        select(execs).join(bunkers, B.id == E.user_id).where(narrowed),  # no foreign key
        select(users)
        .join(api_keys, api_keys.c.user_id == U.id)
        .where(  # the wrong way round
            of_tenant(op, api_keys.c.tenant_id)
        ),
        select(execs, bunkers).outerjoin(bunkers, and_(E.bunker_id == B.id, narrowed)),
        select(execs).where(E.bunker_id.in_(["a", "b"])),
        select(execs).where(E.bunker_id.not_in(select(B.id).where(narrowed))),
        # Further in.
        select(bunkers).where(narrowed, B.id.in_(select(E.bunker_id))),
        select(bunkers).where(narrowed, label.exists()),
        select(bunkers).where(narrowed, exists().where(U.name == "x")),
        select(bunkers, select(func.count()).select_from(users).scalar_subquery()).where(narrowed),
        select(select(B.id).subquery()),
        select(select(B.id).cte("c")),
        select(literal(1)).where(select(tenants.c.id).exists()),
        select(group_members).join(
            tree.union(select(groups.c.id).join(tree, groups.c.parent_id == tree.c.id)),
            literal(1) == literal(1),
        ),
        union_all(select(B.id).where(narrowed), select(U.id)),
        update(bunkers).values(status="x"),
        update(bunkers).where(B.id == bindparam("x")).values(status="x"),
        update(bunkers).where(narrowed, B.name == U.name).values(status="x"),
        update(bunkers).where(narrowed).values(name=select(U.name).scalar_subquery()),
        delete(execs),
        delete(execs).where(E.bunker_id.in_(select(B.id))),
        insert(execs).from_select(["id"], select(B.id)),
        insert(execs).values(id=select(B.id).scalar_subquery()),
        insert(execs).values([{"id": select(B.id).scalar_subquery()}]),
        sqlite.insert(execs).values(id="x").on_conflict_do_update(["id"], set_={"user_id": "x"}),
        text("SELECT * FROM tenants"),
        select(text("1 FROM Users")),
    ]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("number", range(len(good(SYSTEM))))
def test_what_is_narrowed_is_let_through(op: Operation, number: int) -> None:
    guard.check(good(op)[number])


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("number", range(len(bad(SYSTEM))))
def test_what_is_not_narrowed_is_refused(op: Operation, number: int) -> None:
    with pytest.raises(guard.Unscoped):
        guard.check(bad(op)[number])


def test_which_tables_belong_to_tenants() -> None:
    nobodys = {t.name for t in metadata.tables.values() if not guard.belongs_to_tenants(t)}
    assert nobodys == {
        "partners",
        "task_runs",
        "scaibunker_workers",
        "scaibunker_worker_gpus",
        "scaibunker_controllers",
        quota_epoch.name,
        marks.name,
    }


def test_everywhere_is_for_the_platform_alone() -> None:
    with pytest.raises(TypeError):
        everywhere(USER, bunkers)
    guard.check(select(bunkers).where(everywhere(USER.as_platform("a test"), bunkers)))


def test_a_scope_is_of_a_column_of_a_table() -> None:
    with pytest.raises(TypeError):
        of_tenant(USER, func.lower(B.tenant_id))


def test_scopes_of_two_callers_are_two_statements_for_the_cache() -> None:
    """What was let through for the platform must not let another statement through."""
    keys = {
        select(bunkers).where(*conditions)._generate_cache_key().key  # type: ignore[union-attr]
        for conditions in (
            [mine(USER)],
            [mine(SYSTEM)],
            [everywhere(SYSTEM, execs)],
            [B.tenant_id == "ten_1", B.owner_user_id == "usr_1"],
            [],
        )
    }
    assert len(keys) == 5


async def test_no_unit_of_work_goes_around_it(tmp_path: Path) -> None:
    database = Database(DatabaseSettings(url=f"sqlite:///{tmp_path / 'x.db'}"))
    await database.apply(metadata.create_all)
    query = select(tenants)
    for _ in range(2):  # the verdict is the same from the cache
        async with database.read() as db:
            assert await db.rows(query.where(of_tenant(SYSTEM, tenants.c.id))) == []
            for ask in (db.rows, db.row, db.values, db.value):
                with pytest.raises(guard.Unscoped):
                    await ask(query)
        async with database.write() as db:
            with pytest.raises(guard.Unscoped):
                await db.execute(update(tenants).values(name="x"))
        with pytest.raises(guard.Unscoped):
            await database.apply(lambda c: c.execute(query).all())
    writer = BatchWriter(database)
    writer.start()
    with pytest.raises(guard.Unscoped):
        await writer.submit(update(tenants).values(name=bindparam("new")), {"new": "x"})
    await writer.stop()
    await database.close()
