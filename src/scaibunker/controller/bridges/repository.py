"""The SQL of bridges. Every query is narrowed to what the operation's caller may reach.

Who plugs a bunker in holds the bridge's row, and so does who deletes it: what is plugged in is counted, and
addresses are given out, by one transaction at a time.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update

from scaibunker.controller.bridges.domain import Bridge
from scaibunker.controller.bridges.tables import bridge_ports, bridges
from scaibunker.controller.bunkers.lifecycle import LIVE
from scaibunker.controller.bunkers.tables import bunkers
from scaibunker.wire.api.bridges import BridgeStatus
from scaigrid.db import Reader, Writer
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_tenant
from scaigrid.tenancy.tables import tenants

_LIVE = sorted(state.value for state in LIVE)


async def get(op: Operation, db: Reader, bridge_id: str) -> Bridge | None:
    """The bridge of that id, if the caller may reach it."""
    c = bridges.c
    row = await db.row(select(bridges).where(c.id == bridge_id, of_tenant(op, c.tenant_id)))
    return _from_row(row) if row else None


async def locked(op: Operation, db: Writer, bridge_id: str) -> Bridge | None:
    """The same, held until the transaction ends: nothing is plugged in meanwhile."""
    c = bridges.c
    this = select(bridges).where(c.id == bridge_id, of_tenant(op, c.tenant_id))
    row = await db.row(this.with_for_update())
    return _from_row(row) if row else None


async def hold(op: Operation, db: Writer, tenant_id: str, bridge_ids: Collection[str]) -> set[str]:
    """Hold bridges of a tenant until the transaction ends that plugs a bunker in; returns those that are there
    and ready."""
    c = bridges.c
    these = (
        select(c.id)
        .where(
            c.id.in_(sorted(bridge_ids)),
            c.tenant_id == tenant_id,
            c.status == BridgeStatus.READY.value,
            of_tenant(op, c.tenant_id),
        )
        .order_by(c.id)
    )
    return set(await db.values(these.with_for_update()))


async def by_names(
    op: Operation, db: Reader, tenant_id: str, names: Collection[str]
) -> dict[str, Bridge]:
    """A tenant's bridges of these names, by name."""
    c = bridges.c
    query = select(bridges).where(
        c.name.in_(sorted(names)), c.tenant_id == tenant_id, of_tenant(op, c.tenant_id)
    )
    return {row["name"]: _from_row(row) for row in await db.rows(query)}


async def listing(op: Operation, db: Reader, page: PageRequest) -> Slice[Bridge]:
    """Bridges that the caller may reach, newest first."""
    c = bridges.c
    query = select(bridges).where(of_tenant(op, c.tenant_id))
    rows = await db.rows(newest_first(query, c.created_at, c.id, page))
    return page.slice([_from_row(row) for row in rows], lambda b: (b.created_at, b.id))


async def everyone(op: Operation, db: Reader) -> list[Bridge]:
    """All bridges that the caller may reach."""
    query = select(bridges).where(of_tenant(op, bridges.c.tenant_id))
    return [_from_row(row) for row in await db.rows(query)]


async def count(op: Operation, db: Writer, tenant_id: str) -> int:
    """How many a tenant has. The tenant's row is held, so that no other is counted in between."""
    mine = tenants.c.id == tenant_id
    await db.value(select(tenants.c.id).where(mine, of_tenant(op, tenants.c.id)).with_for_update())
    c = bridges.c
    query = select(func.count()).where(c.tenant_id == tenant_id, of_tenant(op, c.tenant_id))
    return int(await db.value(query) or 0)


async def add(op: Operation, db: Writer, bridge: Bridge) -> None:  # noqa: ARG001
    """Store a new bridge. Raises IntegrityError if its name is taken in its tenant."""
    await db.execute(
        insert(bridges).values(
            id=bridge.id,
            tenant_id=bridge.tenant_id,
            name=bridge.name,
            worker_id=bridge.worker_id,
            status=bridge.status.value,
            status_reason=bridge.status_reason,
            created_at=bridge.created_at,
            updated_at=bridge.updated_at,
            revision=bridge.revision,
        )
    )


async def change(
    op: Operation, db: Writer, bridge: Bridge, status: BridgeStatus, reason: str | None = None
) -> bool:
    """Write how it stands, if the row still is what `bridge` was read as; returns whether it was."""
    c = bridges.c
    this = and_(c.id == bridge.id, c.revision == bridge.revision)
    changed: dict[str, Any] = {"status": status.value, "status_reason": reason}
    query = update(bridges).where(this, of_tenant(op, c.tenant_id))
    query = query.values(revision=c.revision + 1, updated_at=op.now(), **changed)
    return await db.execute(query) == 1


async def remove(op: Operation, db: Writer, bridge_id: str, status: BridgeStatus) -> bool:
    """Drop the row, if it stands so; returns whether it did."""
    c = bridges.c
    this = and_(c.id == bridge_id, c.status == status.value)
    return await db.execute(delete(bridges).where(this, of_tenant(op, c.tenant_id))) == 1


async def plugged_in(op: Operation, db: Reader, bridge_id: str) -> list[str]:
    """The live bunkers that name a bridge."""
    b, p = bunkers.c, bridge_ports.c
    query = (
        select(b.id)
        .join(bridge_ports, p.bunker_id == b.id)
        .where(p.bridge_id == bridge_id, b.status.in_(_LIVE), of_tenant(op, b.tenant_id))
        .distinct()
        .order_by(b.id)
    )
    return list(await db.values(query))


async def taken(op: Operation, db: Reader, bridge_ids: Collection[str]) -> list[tuple[str, str]]:
    """Bridge and address of each interface that live bunkers have on these."""
    b, p = bunkers.c, bridge_ports.c
    query = (
        select(p.bridge_id, p.mac)
        .join(bunkers, p.bunker_id == b.id)
        .where(p.bridge_id.in_(sorted(bridge_ids)), b.status.in_(_LIVE), of_tenant(op, b.tenant_id))
    )
    return [(row["bridge_id"], row["mac"]) for row in await db.rows(query)]


async def plug(
    op: Operation,  # noqa: ARG001
    db: Writer,
    bunker_id: str,
    ports: Sequence[tuple[str, str, str]],
) -> None:
    """Store what a bunker has on bridges: for each interface its name, the bridge's id and its address."""
    await db.execute(
        insert(bridge_ports),
        [
            {"bunker_id": bunker_id, "if_name": if_name, "bridge_id": bridge_id, "mac": mac}
            for if_name, bridge_id, mac in ports
        ],
    )


def _from_row(row: Any) -> Bridge:
    return Bridge(**{**row, "status": BridgeStatus(row["status"])})
