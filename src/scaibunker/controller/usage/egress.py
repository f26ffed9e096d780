"""Taking in what workers say that machines have sent.

A counter only grows within one incarnation of a machine, so that the highest value is the truth
whatever comes late or twice; a machine that is built anew counts for itself.
"""

from collections.abc import Sequence

from sqlalchemy import insert, select, update

from scaibunker.controller.bunkers.repository import reachable
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.controller.usage.tables import egress
from scaibunker.wire.worker.machines import MachineStatus
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import everywhere

Seen = dict[str, tuple[str, int]]
"""The counter of a bunker's machine by its incarnation."""


class Egress:
    """The counters of all machines, as this replica last stored them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stored: dict[str, Seen] = {}

    async def report(
        self, op: Operation, worker_id: str, machines: Sequence[MachineStatus]
    ) -> None:
        """Store what has grown. Counters of bunkers that are not this worker's are passed over."""
        seen = {m.bunker_id: (m.incarnation, m.egress_bytes) for m in machines if m.egress_bytes}
        known = self._stored.get(worker_id, {})
        grown = {bunker: count for bunker, count in seen.items() if known.get(bunker) != count}
        if grown:
            await self._store(op, worker_id, grown)
        self._stored[worker_id] = seen

    async def _store(self, op: Operation, worker_id: str, seen: Seen) -> None:
        async def work(db: Writer) -> None:
            query = select(bunkers.c.id).where(
                bunkers.c.id.in_(seen), bunkers.c.worker_id == worker_id, reachable(op)
            )
            for bunker_id in sorted(await db.values(query)):
                await _raise(op, db, bunker_id, *seen[bunker_id])

        await self._database.upsert(work)


async def _raise(op: Operation, db: Writer, bunker_id: str, incarnation: str, count: int) -> None:
    c = egress.c
    this = (c.bunker_id == bunker_id) & (c.incarnation == incarnation) & everywhere(op, egress)
    higher = update(egress).where(this, c.seen_bytes < count)
    if await db.execute(higher.values(seen_bytes=count, owed=True)):
        return
    if await db.value(select(c.seen_bytes).where(this)) is None:
        await db.execute(
            insert(egress).values(
                bunker_id=bunker_id,
                incarnation=incarnation,
                seen_bytes=count,
                accounted_bytes=0,
                owed=True,
            )
        )
