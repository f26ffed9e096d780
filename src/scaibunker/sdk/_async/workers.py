"""Workers: the hosts that run bunkers."""

from collections.abc import AsyncIterator, Mapping

from scaibunker.sdk import _calls
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import Call, QueryValue
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
        return await self._transport.record(_calls.get(_path(worker_id)), Worker)

    async def drain(self, worker_id: str, *, passivate: bool = False) -> Worker:
        """Have a worker take no new bunkers; those that it has go on, or, with `passivate`, leave it
        if they can: they sleep until somebody uses them, elsewhere. Doing it again changes nothing.
        """
        return await self._verb(worker_id, "drain", {"passivate": True} if passivate else None)

    async def resume(self, worker_id: str) -> Worker:
        """Have a drained worker take new bunkers again. Doing it again changes nothing."""
        return await self._verb(worker_id, "resume")

    async def _verb(
        self, worker_id: str, verb: str, params: Mapping[str, QueryValue] | None = None
    ) -> Worker:
        call = Call(
            "POST",
            _path(worker_id, verb),
            params or {},
            repeatable=True,
            idempotency_key=_calls.new_key(),
        )
        return await self._transport.record(call, Worker)


def _path(worker_id: str, *rest: str) -> str:
    return _calls.module_path("workers", _calls.checked_id("worker id", worker_id), *rest)
