# Generated from _async/workers.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Workers: the hosts that run bunkers."""

from collections.abc import Iterator

from scaibunker.sdk import _calls
from scaibunker.sdk._sync.transport import Transport
from scaibunker.wire.api.workers import Worker


class Workers:
    """The workers that the key can see."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int | None = None) -> Iterator[Worker]:
        """Every worker; pages are fetched as they are needed."""
        call = _calls.get(_calls.module_path("workers"), limit=page_size)
        yield from self._transport.pages(call, Worker)

    def get(self, worker_id: str) -> Worker:
        """A worker by its id."""
        path = _calls.module_path("workers", _calls.checked_id("worker id", worker_id))
        return self._transport.record(_calls.get(path), Worker)
