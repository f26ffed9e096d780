# Generated from _async/audit.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""The audit log: who changed what, and who was refused. For administrators."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Unpack

from scaibunker.sdk import _calls, _requests
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk.options import AuditFilter
from scaibunker.wire.api.audit import AuditEntry

_PATH = "/v1/audit-log"


class AuditLog:
    """What the key may read of the log, newest first."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, page_size: int | None = None, **wanted: Unpack[AuditFilter]
    ) -> Iterator[AuditEntry]:
        """The entries; pages are fetched as they are needed."""
        call = _calls.get(_PATH, limit=page_size, **_requests.audit_filter(wanted))
        yield from self._transport.pages(call, AuditEntry)

    @contextmanager
    def export(
        self, form: Literal["ndjson", "csv"] = "ndjson", **wanted: Unpack[AuditFilter]
    ) -> Iterator[Iterator[bytes]]:
        """The entries as a file, in chunks: JSON objects one a line, or CSV; whole or an exception."""
        call = _calls.get(f"{_PATH}/export", format=form, **_requests.audit_filter(wanted))
        with self._transport.raw(call) as chunks:
            yield chunks
