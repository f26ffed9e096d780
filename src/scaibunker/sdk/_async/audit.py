"""The audit log: who changed what, and who was refused. For administrators."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, Unpack

from scaibunker.sdk import _calls, _requests
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk.options import AuditFilter
from scaibunker.wire.api.audit import AuditEntry

_PATH = "/v1/audit-log"


class AsyncAuditLog:
    """What the key may read of the log, newest first."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self, *, page_size: int | None = None, **wanted: Unpack[AuditFilter]
    ) -> AsyncIterator[AuditEntry]:
        """The entries; pages are fetched as they are needed."""
        call = _calls.get(_PATH, limit=page_size, **_requests.audit_filter(wanted))
        async for entry in self._transport.pages(call, AuditEntry):
            yield entry

    @asynccontextmanager
    async def export(
        self, form: Literal["ndjson", "csv"] = "ndjson", **wanted: Unpack[AuditFilter]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The entries as a file, in chunks: JSON objects one a line, or CSV; whole or an exception."""
        call = _calls.get(f"{_PATH}/export", format=form, **_requests.audit_filter(wanted))
        async with self._transport.raw(call) as chunks:
            yield chunks
