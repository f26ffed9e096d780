"""Finding the bunker that a command or file is for: one query, and everything that is needed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.bunkers.domain import Desired, idle_at
from scaibunker.controller.bunkers.errors import BunkerNotFound, BunkerNotRunning
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.repository import reachable
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.passivation.awake import Awake
from scaibunker.controller.workers.errors import WorkerUnreachable
from scaibunker.controller.workers.tables import workers
from scaigrid.db import Database
from scaigrid.operation import Operation

ATTEMPTS = 3
"""How often a bunker that is awake may be found asleep again."""


class Asleep(BunkerNotRunning):
    """The bunker is passivated."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running bunker and where its worker is. `idle_at`: when it is ended unless it is used."""

    bunker_id: str
    tenant_id: str
    address: str
    idle_at: datetime | None


async def exists(op: Operation, database: Database, bunker_id: str) -> None:
    """Raise BunkerNotFound unless the caller may reach the bunker, in whatever state."""
    query = select(bunkers.c.id).where(bunkers.c.id == bunker_id, reachable(op))
    async with database.read() as db:
        if await db.value(query) is None:
            raise BunkerNotFound


async def in_use(
    op: Operation, database: Database, activity: Activity, awake: Awake, bunker_id: str
) -> Target:
    """The bunker, if it takes commands; one that is about to be ended as idle counts as used first, and one
    that is passivated is woken. Raises BunkerNotFound, BunkerNotRunning, DatabaseUnavailable, and what waking
    raises."""
    target = await woken(op, database, awake, bunker_id)
    if await activity.secure(bunker_id, target.idle_at):
        target = await woken(op, database, awake, bunker_id)
    return target


async def woken(op: Operation, database: Database, awake: Awake, bunker_id: str) -> Target:
    """The same of a bunker that what is already known of it is asked of."""
    for _ in range(ATTEMPTS):
        try:
            return await running(op, database, bunker_id)
        except Asleep:
            await awake(op, bunker_id)
    raise WorkerUnreachable("The bunker falls asleep again and again. Nothing was done in it.")


async def running(op: Operation, database: Database, bunker_id: str) -> Target:
    """The bunker, if it takes commands. Raises BunkerNotFound, BunkerNotRunning; Asleep, which is one too,
    for one that can be woken."""
    c = bunkers.c
    query = (
        select(
            c.tenant_id,
            c.status,
            c.desired,
            c.passivated,
            c.last_activity_at,
            c.idle_timeout_s,
            workers.c.address,
        )
        .select_from(bunkers.outerjoin(workers, workers.c.id == c.worker_id))
        .where(c.id == bunker_id, reachable(op))
    )
    async with database.read() as db:
        row = await db.row(query)
    if row is None:
        raise BunkerNotFound
    if row["desired"] != Desired.TERMINATED and (
        row["passivated"] or row["desired"] == Desired.PASSIVATED
    ):
        raise Asleep("The bunker is passivated.", hint="Whatever uses it next wakes it.")
    if row["status"] != State.RUNNING:
        raise BunkerNotRunning.because(row["status"])
    if row["desired"] == Desired.TERMINATED:
        raise BunkerNotRunning.because("being terminated")
    if row["address"] is None:
        raise WorkerUnreachable
    limit = idle_at(row["last_activity_at"], row["idle_timeout_s"])
    return Target(bunker_id, row["tenant_id"], row["address"], limit)
