"""The audit log as a file: one page of the database after another, so that memory stays bounded."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

from scaigrid.audit.models import AuditEntry
from scaigrid.http.download import Download, cell, lines
from scaigrid.http.paging import PageRequest, Slice, decode

Format = Literal["ndjson", "csv"]
Read = Callable[[PageRequest], Awaitable[Slice[AuditEntry]]]

PAGE = 500
"""Entries that are in memory at a time."""
MEDIA_TYPES: dict[Format, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
COLUMNS = tuple(AuditEntry.model_fields)


def export(first: Slice[AuditEntry], read: Read, form: Format) -> Download:
    """All of it, from the first page on."""
    return Download(_chunks(first, read, form), MEDIA_TYPES[form], f"audit-log.{form}")


async def _chunks(first: Slice[AuditEntry], read: Read, form: Format) -> AsyncIterator[bytes]:
    render = as_csv if form == "csv" else as_ndjson
    if form == "csv":
        yield lines([COLUMNS])
    page = first
    while True:
        yield render(page.items)
        if page.next_cursor is None:
            return
        page = await read(PageRequest(PAGE, decode(page.next_cursor)))


def as_ndjson(entries: Sequence[AuditEntry]) -> bytes:
    """One JSON object a line."""
    return "".join(f"{entry.model_dump_json()}\n" for entry in entries).encode()


def as_csv(entries: Sequence[AuditEntry]) -> bytes:
    """Lines of CSV (RFC 4180), without the line of titles."""
    rows = (entry.model_dump(mode="json") for entry in entries)
    return lines([[cell(row[name]) for name in COLUMNS] for row in rows])
