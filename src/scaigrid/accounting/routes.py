"""`/v1/accounting/usage`."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query

from scaigrid.accounting import sums
from scaigrid.accounting.domain import Grouping, Interval
from scaigrid.accounting.models import UsageEntry
from scaigrid.accounting.sums import Wanted
from scaigrid.db import Database
from scaigrid.db.types import ID
from scaigrid.errors import ValidationFailed
from scaigrid.http.access import Signed
from scaigrid.http.download import Download, cell, lines
from scaigrid.http.paging import Paged, PageRequest, Slice, decode
from scaigrid.http.routes import Answer, Op, Routes, many
from scaigrid.http.times import aware
from scaigrid.operation import Operation

Period = tuple[datetime, datetime]

LONGEST = timedelta(days=400)
USUAL = timedelta(days=30)
PAGE = 500
"""Entries of a file that are in memory at a time."""
COLUMNS = tuple(UsageEntry.model_fields)
BY = "`tenant`, `user`, `group`, or a kind of resource that a module has, such as `bunker`."


def _period(op: Operation, since: datetime | None, until: datetime | None) -> Period:
    """What was asked for, in UTC. Raises ValidationFailed."""
    try:
        end = aware(until).astimezone(UTC) if until else op.now()
        begin = aware(since).astimezone(UTC) if since else end - USUAL
    except OverflowError:
        raise ValidationFailed.of("since", "is no time that can be asked for") from None
    if begin >= end:
        raise ValidationFailed.of("since", "must be before the end")
    if end - begin > LONGEST:
        raise ValidationFailed.of("since", f"must be within {LONGEST.days} days of the end")
    return begin, end


class AccountingEndpoints:
    """Reading usage. `resources` are the ids of modules by what they account for."""

    def __init__(self, database: Database, resources: Mapping[str, str]) -> None:
        self._database = database
        self._resources = resources

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes("/v1/accounting", "accounting")
        csv = {"text/csv": {"schema": {"type": "string"}}}
        routes.add(
            "GET",
            "/usage",
            self.get_usage,
            access=Signed(),
            answers=[
                many(UsageEntry, "A page, in the order of time, then of keys."),
                Answer(200, csv, "All of it, in the same order."),
            ],
        )
        return routes

    async def get_usage(
        self,
        op: Op,
        page: Paged,
        by: Annotated[str, Query(max_length=64, description=BY)] = Grouping.TENANT.value,
        interval: Annotated[
            Interval, Query(description="Hours and days are those of UTC.")
        ] = Interval.DAY,
        since: Annotated[
            datetime | None,
            Query(description="From this minute on; 30 days before the end if left out."),
        ] = None,
        until: Annotated[
            datetime | None, Query(description="Before this minute; now if left out.")
        ] = None,
        tenant_id: Annotated[
            str | None, Query(max_length=ID, description="One of the tenants that are in reach.")
        ] = None,
        form: Annotated[
            Literal["json", "csv"],
            Query(alias="format", description="CSV is the whole, whatever the limit."),
        ] = "json",
    ) -> Slice[UsageEntry] | Download:
        """Sum up what was used. A user sees its own usage, a tenant's administrators their tenant's, a
        partner's administrators that of its tenants, super-admins everything.

        Usage is recorded by the minute, some seconds after it is over. A group's is that of its
        members of today, those of the groups in it included, each once; somebody who is in two
        groups counts in both, and who is in none in none. In CSV, a cell that a spreadsheet would
        take for a formula begins with an apostrophe."""
        wanted = Wanted(*self._grouping(by), interval, *_period(op, since, until), tenant_id)
        if form == "json":
            return await self._read(op, page, wanted)
        first = await self._read(op, PageRequest(PAGE), wanted)
        return Download(self._chunks(op, first, wanted), "text/csv", "usage.csv")

    def _grouping(self, by: str) -> tuple[Grouping | None, str | None]:
        if by in self._resources:
            return None, self._resources[by]
        if by in list(Grouping):
            return Grouping(by), None
        known = ", ".join([*Grouping, *self._resources])
        raise ValidationFailed.of("by", f"must be one of {known}")

    async def _read(self, op: Operation, page: PageRequest, wanted: Wanted) -> Slice[UsageEntry]:
        async with self._database.read() as db:
            found = await sums.usage(op, db, page, wanted)
            keys = sorted({each.key for each in found.items})
            names = await sums.names(op, db, wanted.by, keys)
        return found.map(
            lambda each: UsageEntry(
                start=each.start,
                key=each.key,
                name=names.get(each.key),
                tenant_id=each.tenant_id,
                **asdict(each.amounts),
            )
        )

    async def _chunks(
        self, op: Operation, page: Slice[UsageEntry], wanted: Wanted
    ) -> AsyncIterator[bytes]:
        yield lines([COLUMNS])
        while True:
            rows = (entry.model_dump(mode="json") for entry in page.items)
            yield lines([[cell(row[name]) for name in COLUMNS] for row in rows])
            if page.next_cursor is None:
                return
            page = await self._read(op, PageRequest(PAGE, decode(page.next_cursor)), wanted)
