"""The SQL of the audit log: adding and reading. There is no other, and the database refuses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, insert, select

from scaigrid.audit.domain import Actor, ActorType, Entry, Outcome, entry_id
from scaigrid.audit.tables import audit_log
from scaigrid.db import Reader
from scaigrid.http.paging import PageRequest, Slice, newest_first
from scaigrid.operation import Operation
from scaigrid.tenancy.scope import of_tenant

ADD = insert(audit_log)
"""Executed by the batch writer, with `to_row`."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries to read; None is any."""

    actor: str | None = None
    action: str | None = None
    outcome: Outcome | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    status: int | None = None
    code: str | None = None
    address: str | None = None
    request_id: str | None = None
    tenant_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def listing(op: Operation, db: Reader, page: PageRequest, wanted: Filter) -> Slice[Entry]:
    """Entries that the caller may read, newest first."""
    query = select(audit_log).where(of_tenant(op, audit_log.c.tenant_id), *_matching(wanted))
    rows = await db.rows(newest_first(query, audit_log.c.at, audit_log.c.id, page))
    return page.slice([_entry(row) for row in rows], lambda e: (e.at, e.id))


def to_row(entry: Entry) -> dict[str, Any]:
    """The columns of an entry."""
    return {
        "id": entry.id,
        "at": entry.at,
        "tenant_id": entry.tenant_id,
        "actor_type": entry.actor.type.value,
        "actor_id": entry.actor.id,
        "actor_name": entry.actor.name,
        "action": entry.action,
        "method": entry.method,
        "path": entry.path,
        "resource_type": entry.resource_type,
        "resource_id": entry.resource_id,
        "outcome": entry.outcome.value,
        "status": entry.status,
        "code": entry.code,
        "address": entry.address,
        "request_id": entry.request_id,
        "details": dict(entry.details) or None,
    }


def _matching(wanted: Filter) -> list[ColumnElement[bool]]:
    c = audit_log.c
    equal: Mapping[Any, Any] = {
        c.actor_id: wanted.actor,
        c.action: wanted.action,
        c.outcome: wanted.outcome.value if wanted.outcome else None,
        c.resource_type: wanted.resource_type,
        c.resource_id: wanted.resource_id,
        c.status: wanted.status,
        c.code: wanted.code,
        c.address: wanted.address,
        c.id: entry_id(wanted.request_id) if wanted.request_id else None,
        c.tenant_id: wanted.tenant_id,
    }
    found = [column == value for column, value in equal.items() if value is not None]
    if wanted.since is not None:
        found.append(c.at >= wanted.since)
    if wanted.until is not None:
        found.append(c.at < wanted.until)
    return found


def _entry(row: RowMapping) -> Entry:
    return Entry(
        id=row["id"],
        at=row["at"],
        tenant_id=row["tenant_id"],
        actor=Actor(ActorType(row["actor_type"]), row["actor_id"], row["actor_name"]),
        action=row["action"],
        method=row["method"],
        path=row["path"],
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        outcome=Outcome(row["outcome"]),
        status=row["status"],
        code=row["code"],
        address=row["address"],
        request_id=row["request_id"],
        details=row["details"] or {},
    )
