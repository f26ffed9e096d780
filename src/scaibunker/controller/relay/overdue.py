"""Commands whose end was never reported, found when it must have come."""

from sqlalchemy import or_, select, update

from scaibunker.controller.bunkers.lifecycle import FINAL
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.relay.domain import ExecState
from scaibunker.controller.relay.tables import execs
from scaigrid.db import Database
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere


async def lose_overdue(op: Operation, database: Database) -> int:
    """Call lost what must have ended by now; returns how many. The worker's own report corrects
    that if it comes."""
    ended = select(bunkers.c.id).where(
        bunkers.c.status.in_([s.value for s in FINAL]), everywhere(op, bunkers)
    )
    overdue = (
        update(execs)
        .where(
            everywhere(op, execs),
            execs.c.state == ExecState.RUNNING.value,
            or_(execs.c.deadline_at < op.now(), execs.c.bunker_id.in_(ended)),
        )
        .values(state=ExecState.LOST.value, error="its end was never reported")
    )
    async with database.write() as db:
        return await db.execute(overdue)
