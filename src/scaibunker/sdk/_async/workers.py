"""Workers: the hosts that run bunkers."""

from collections.abc import AsyncIterator

from scaibunker.sdk import _calls
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.wire.api.workers import Worker


class AsyncWorkers:
    """The workers that the key can see."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, *, page_size: int | None = None) -> AsyncIterator[Worker]:
        """Every worker; pages are fetched as they are needed."""
        call = _calls.get(_calls.module_path("workers"), limit=page_size)
        async for worker in self._transport.pages(call, Worker):
            yield worker

    async def get(self, worker_id: str) -> Worker:
        """A worker by its id."""
        path = _calls.module_path("workers", _calls.checked_id("worker id", worker_id))
        return await self._transport.record(_calls.get(path), Worker)
