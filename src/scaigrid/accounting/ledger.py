"""Writing ticks: what modules use. A minute of a resource counts once, whatever runs twice.

A module asks `recorded` and calls `add` in one transaction in which it holds its resources' rows
locked, together with whatever else must happen exactly once with the minute.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import insert, select

from scaigrid.accounting.domain import Tick
from scaigrid.accounting.tables import usage_ticks as ticks
from scaigrid.db import Reader, Writer
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_tenant


async def recorded(
    op: Operation, db: Reader, minute: datetime, resource_ids: Collection[str]
) -> frozenset[str]:
    """Those of the resources that have a tick of that minute."""
    query = select(ticks.c.resource_id).where(
        ticks.c.resource_id.in_(resource_ids),
        ticks.c.minute == minute,
        of_tenant(op, ticks.c.tenant_id),
    )
    return frozenset(await db.values(query))


async def add(op: Operation, db: Writer, module: str, made: Iterable[Tick]) -> None:  # noqa: ARG001
    """Store ticks. Raises IntegrityError, and nothing is stored, if one is there already."""
    rows = [
        {
            "resource_id": tick.resource_id,
            "minute": tick.minute,
            "module": module,
            "tenant_id": tick.tenant_id,
            "user_id": tick.user_id,
            **asdict(tick.amounts),
        }
        for tick in made
    ]
    if rows:
        await db.execute(insert(ticks), rows)
