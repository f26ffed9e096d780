"""The audit log as a file: one page of the database after another, so that memory stays bounded."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from scaigrid.audit.models import AuditEntry
from scaigrid.http.paging import PageRequest, Slice, decode

Format = Literal["ndjson", "csv"]
Read = Callable[[PageRequest], Awaitable[Slice[AuditEntry]]]

PAGE = 500
"""Entries that are in memory at a time."""
STALL_S = 60.0
"""A caller that takes nothing for so long counts as gone."""
MEDIA_TYPES: dict[Format, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
COLUMNS = tuple(AuditEntry.model_fields)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Export(StreamingResponse):
    """The stream. It is cut if the database fails in the middle, so that it cannot seem whole."""

    def __init__(self, first: Slice[AuditEntry], read: Read, form: Format) -> None:
        super().__init__(
            _chunks(first, read, form),
            media_type=MEDIA_TYPES[form],
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="audit-log.{form}"',
            },
        )

    async def stream_response(self, send: Send) -> None:
        """Send it to a caller that takes it."""

        async def bounded(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        await super().stream_response(bounded)


async def _chunks(first: Slice[AuditEntry], read: Read, form: Format) -> AsyncIterator[bytes]:
    render = as_csv if form == "csv" else as_ndjson
    if form == "csv":
        yield _lines([COLUMNS])
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
    return _lines([[cell(row[name]) for name in COLUMNS] for row in rows])


def cell(value: Any) -> str:
    """A value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
