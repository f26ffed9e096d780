"""Commands whose end was never reported, found when it must have come."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, or_, select, true, update

from scaibunker.controller.bunkers.lifecycle import FINAL
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.relay.domain import ExecState
from scaibunker.controller.relay.tables import execs
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere


async def lose_overdue(op: Operation, database: Database) -> int:
    """Call lost what must have ended by now; returns how many. The worker's own report corrects
    that if it comes. For commands of passivated bunkers time stands still."""
    ended = select(bunkers.c.id).where(
        bunkers.c.status.in_([s.value for s in FINAL]), everywhere(op, bunkers)
    )
    asleep = select(bunkers.c.id).where(bunkers.c.passivated == true(), everywhere(op, bunkers))
    overdue = (
        update(execs)
        .where(
            everywhere(op, execs),
            execs.c.state == ExecState.RUNNING.value,
            or_(execs.c.deadline_at < op.now(), execs.c.bunker_id.in_(ended)),
            execs.c.bunker_id.not_in(asleep),
        )
        .values(state=ExecState.LOST.value, error="its end was never reported")
    )
    async with database.write() as db:
        return await db.execute(overdue)


async def put_off(op: Operation, db: Writer, bunker_id: str, by: timedelta) -> None:
    """A bunker has slept for so long: its commands have that much more time."""
    query = select(execs.c.id, execs.c.deadline_at).where(_running(op, bunker_id))
    for row in await db.rows(query):
        this = (execs.c.id == row["id"]) & everywhere(op, execs)
        await db.execute(update(execs).where(this).values(deadline_at=row["deadline_at"] + by))


async def lose_all(op: Operation, db: Writer, bunker_id: str, why: str) -> None:
    """The commands of a bunker are gone, and nobody knows how they would have ended."""
    lost = update(execs).where(_running(op, bunker_id))
    await db.execute(lost.values(state=ExecState.LOST.value, error=why))


def _running(op: Operation, bunker_id: str) -> ColumnElement[bool]:
    return and_(
        execs.c.bunker_id == bunker_id,
        execs.c.state == ExecState.RUNNING.value,
        everywhere(op, execs),
    )
