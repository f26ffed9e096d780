"""`/v1/audit-log`: reading it. Nothing writes to it but the recorder."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query

from scaigrid.audit import repository
from scaigrid.audit.domain import (
    MAX_CODE,
    MAX_NAME,
    MAX_RESOURCE_ID,
    Entry,
    Outcome,
)
from scaigrid.audit.export import MEDIA_TYPES, PAGE, Format, export
from scaigrid.audit.models import AuditEntry
from scaigrid.audit.recorder import Recorder
from scaigrid.audit.repository import Filter
from scaigrid.db import Database
from scaigrid.db.types import ID
from scaigrid.http.access import ADMINS
from scaigrid.http.address import MAX_ADDRESS
from scaigrid.http.download import Download
from scaigrid.http.paging import Paged, PageRequest, Slice
from scaigrid.http.routes import Answer, Op, Routes, many
from scaigrid.http.times import aware
from scaigrid.operation import Operation

PATH = "/v1/audit-log"


async def _filter(
    actor: Annotated[str | None, Query(max_length=ID, description="Id of a user.")] = None,
    action: Annotated[
        str | None, Query(max_length=MAX_NAME, description="Id of an operation.")
    ] = None,
    outcome: Annotated[Outcome | None, Query()] = None,
    resource_type: Annotated[str | None, Query(max_length=MAX_CODE)] = None,
    resource_id: Annotated[str | None, Query(max_length=MAX_RESOURCE_ID)] = None,
    status: Annotated[int | None, Query(ge=100, le=599)] = None,
    code: Annotated[str | None, Query(max_length=MAX_CODE, description="Error code.")] = None,
    address: Annotated[str | None, Query(max_length=MAX_ADDRESS)] = None,
    request_id: Annotated[str | None, Query(max_length=ID)] = None,
    tenant_id: Annotated[
        str | None, Query(max_length=ID, description="One of the tenants that are in reach.")
    ] = None,
    since: Annotated[datetime | None, Query(description="This time and later.")] = None,
    until: Annotated[datetime | None, Query(description="Before this time.")] = None,
) -> Filter:
    return Filter(
        actor=actor,
        action=action,
        outcome=outcome,
        resource_type=resource_type,
        resource_id=resource_id,
        status=status,
        code=code,
        address=address,
        request_id=request_id,
        tenant_id=tenant_id,
        since=aware(since) if since else None,
        until=aware(until) if until else None,
    )


Wanted = Annotated[Filter, Depends(_filter)]


class AuditEndpoints:
    """Reading the log, page by page or as a file."""

    def __init__(self, database: Database, recorder: Recorder) -> None:
        self._database = database
        self._recorder = recorder

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(PATH, "audit")
        routes.add(
            "GET",
            "",
            self.list_audit_log,
            access=ADMINS,
            answers=many(AuditEntry),
        )
        forms = {media: {"schema": {"type": "string"}} for media in MEDIA_TYPES.values()}
        routes.add(
            "GET",
            "/export",
            self.export_audit_log,
            access=ADMINS,
            answers=Answer(200, forms, "The entries, newest first, as they are read."),
        )
        return routes

    async def list_audit_log(self, op: Op, page: Paged, wanted: Wanted) -> Slice[AuditEntry]:
        """List what was changed and what was refused, newest first. A tenant's administrators see
        their tenant, a partner's administrators its tenants, super-admins everything."""
        await self._recorder.flush()
        return await self._page(op, page, wanted)

    async def export_audit_log(
        self,
        op: Op,
        wanted: Wanted,
        form: Annotated[Format, Query(alias="format")] = "ndjson",
    ) -> Download:
        """Read all of it as a file, with the same filters. In CSV, a cell that a spreadsheet would
        take for a formula begins with an apostrophe."""
        await self._recorder.flush()

        async def read(page: PageRequest) -> Slice[AuditEntry]:
            return await self._page(op, page, wanted)

        return export(await read(PageRequest(PAGE)), read, form)

    async def _page(self, op: Operation, page: PageRequest, wanted: Filter) -> Slice[AuditEntry]:
        async with self._database.read() as db:
            return (await repository.listing(op, db, page, wanted)).map(_view)


def _view(entry: Entry) -> AuditEntry:
    return AuditEntry(
        id=entry.id,
        at=entry.at,
        tenant_id=entry.tenant_id,
        actor_type=entry.actor.type.value,
        actor_id=entry.actor.id,
        actor_name=entry.actor.name,
        action=entry.action,
        method=entry.method,
        path=entry.path,
        resource_type=entry.resource_type,
        resource_id=entry.resource_id,
        outcome=entry.outcome.value,
        status=entry.status,
        code=entry.code,
        address=entry.address,
        request_id=entry.request_id,
        details=entry.details,
    )
