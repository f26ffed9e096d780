"""The SQL of task runs. Claims are won by comparing and setting, so that one of many wins.

A claim has a token of its own: whoever has lost it changes nothing any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, or_, select, update

from scaigrid.db import Reader, Writer
from scaigrid.operation import Operation
from scaigrid.tasks.tables import task_runs as runs


@dataclass(frozen=True, slots=True)
class Run:
    """A task's row. Until `lease_until` nobody may claim it."""

    name: str
    done_until: datetime
    owner: str | None
    lease_until: datetime | None


async def find(op: Operation, db: Reader, names: Iterable[str]) -> Mapping[str, Run]:  # noqa: ARG001
    """The rows of these tasks, by name."""
    rows = await db.rows(select(runs).where(runs.c.name.in_(list(names))))
    return {row["name"]: Run(**row) for row in rows}


async def add(op: Operation, db: Writer, name: str, done_until: datetime) -> None:  # noqa: ARG001
    """A row for a new task. Raises IntegrityError if it has one."""
    await db.execute(insert(runs).values(name=name, done_until=done_until))


async def claim(op: Operation, db: Writer, run: Run, owner: str, until: datetime) -> bool:
    """Take a task that nobody holds, as it was read; False if another was faster."""
    count = await db.execute(
        update(runs)
        .where(
            runs.c.name == run.name,
            runs.c.done_until == run.done_until,
            or_(runs.c.lease_until.is_(None), runs.c.lease_until <= op.now()),
        )
        .values(owner=owner, lease_until=until)
    )
    return count == 1


async def renew(op: Operation, db: Writer, name: str, owner: str, until: datetime) -> bool:  # noqa: ARG001
    """Keep a claim; False if it is lost."""
    mine = (runs.c.name == name) & (runs.c.owner == owner)
    return await db.execute(update(runs).where(mine).values(lease_until=until)) == 1


async def finish(op: Operation, db: Writer, name: str, owner: str, done_until: datetime) -> bool:  # noqa: ARG001
    """Record that everything up to a time is done; False if the claim is lost."""
    mine = (runs.c.name == name) & (runs.c.owner == owner)
    return await db.execute(update(runs).where(mine).values(done_until=done_until)) == 1


async def release(
    op: Operation,  # noqa: ARG001
    db: Writer,
    name: str,
    owner: str,
    not_before: datetime | None,
) -> None:
    """Give a claim back; nobody takes it before that time."""
    mine = (runs.c.name == name) & (runs.c.owner == owner)
    await db.execute(update(runs).where(mine).values(owner=None, lease_until=not_before))
