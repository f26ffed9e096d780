"""The SQL of sums over ticks, within what the caller may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, String, and_, func, literal, or_, select

from scaigrid.accounting.domain import Amounts, Grouping, Interval, Usage
from scaigrid.accounting.tables import usage_ticks as ticks
from scaigrid.db import Reader
from scaigrid.groups.hierarchy import memberships
from scaigrid.groups.tables import groups
from scaigrid.http.paging import PageRequest, Position, Slice
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_tenant, of_user
from scaigrid.tenancy.tables import tenants, users

_FORMS = {Interval.HOUR: "%Y-%m-%d %H", Interval.DAY: "%Y-%m-%d"}
"""The beginning of a time as both databases write it."""
_LENGTHS = {Interval.HOUR: 13, Interval.DAY: 10}
_NAMES = {Grouping.TENANT: tenants, Grouping.USER: users, Grouping.GROUP: groups}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sums. `module`: of each of its resources, in place of a grouping."""

    by: Grouping | None
    module: str | None
    interval: Interval
    since: datetime
    until: datetime
    tenant_id: str | None = None


async def usage(op: Operation, db: Reader, page: PageRequest, wanted: Wanted) -> Slice[Usage]:
    """Sums in the order of time, then of keys."""
    c = ticks.c
    bucket = _bucket(wanted.interval)
    source: Any = ticks
    key: ColumnElement[str] = c.resource_id
    conditions = [of_user(op, c.tenant_id, c.user_id), c.minute >= wanted.since]
    conditions.append(c.minute < wanted.until)
    if wanted.tenant_id is not None:
        conditions.append(c.tenant_id == wanted.tenant_id)
    match wanted.by:
        case None:
            conditions.append(c.module == wanted.module)
        case Grouping.TENANT:
            key = c.tenant_id
        case Grouping.USER:
            key = c.user_id
        case Grouping.GROUP:
            members = memberships(op).subquery("members")
            source = ticks.join(members, members.c.user_id == c.user_id)
            key = members.c.group_id
    if page.after is not None:
        conditions.append(_after(bucket, key, wanted.interval, page.after))
    query = (
        select(
            bucket.label("bucket"),
            key.label("key"),
            func.min(c.tenant_id).label("tenant_id"),
            *(func.sum(c[name]).label(name) for name in Amounts.__dataclass_fields__),
        )
        .select_from(source)
        .where(*conditions)
        .group_by("bucket", "key")
        .order_by("bucket", "key")
        .limit(page.limit + 1)
    )
    found = [_usage(row, wanted) for row in await db.rows(query)]
    return page.slice(found, lambda each: (each.start, each.key))


async def names(
    op: Operation, db: Reader, by: Grouping | None, keys: list[str]
) -> Mapping[str, str]:
    """What tenants, users or groups are called. Resources have no name that the platform knows."""
    if by is None or not keys:
        return {}
    table = _NAMES[by]
    tenant = table.c.id if by is Grouping.TENANT else table.c.tenant_id
    query = select(table.c.id, table.c.name).where(table.c.id.in_(keys), of_tenant(op, tenant))
    return {row["id"]: row["name"] for row in await db.rows(query)}


def _bucket(interval: Interval) -> ColumnElement[str]:
    if interval is Interval.TOTAL:
        return literal("", String)
    return func.substr(ticks.c.minute, 1, _LENGTHS[interval], type_=String)


def _after(
    bucket: ColumnElement[str], key: ColumnElement[str], interval: Interval, after: Position
) -> ColumnElement[bool]:
    start, last = after
    if interval is Interval.TOTAL:
        return key > last
    at = start.astimezone(UTC).strftime(_FORMS[interval])
    return or_(bucket > at, and_(bucket == at, key > last))


def _usage(row: RowMapping, wanted: Wanted) -> Usage:
    start = wanted.since
    if wanted.interval is not Interval.TOTAL:
        form = _FORMS[wanted.interval]
        start = datetime.strptime(row["bucket"], form).replace(tzinfo=UTC)
    return Usage(
        start=start,
        key=row["key"],
        tenant_id=row["tenant_id"],
        amounts=Amounts(
            cpu_seconds=float(row["cpu_seconds"]),
            memory_mb_seconds=float(row["memory_mb_seconds"]),
            disk_mb_seconds=float(row["disk_mb_seconds"]),
            gpu_seconds=float(row["gpu_seconds"]),
            egress_bytes=int(row["egress_bytes"]),
        ),
    )
