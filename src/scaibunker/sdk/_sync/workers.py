# Generated from _async/workers.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Workers: the hosts that run bunkers."""

from collections.abc import Iterator, Mapping

from scaibunker.sdk import _calls
from scaibunker.sdk._calls import Call, QueryValue
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
        return self._transport.record(_calls.get(_path(worker_id)), Worker)

    def drain(self, worker_id: str, *, passivate: bool = False) -> Worker:
        """Have a worker take no new bunkers; those that it has go on, or, with `passivate`, leave it
        if they can: they sleep until somebody uses them, elsewhere. Doing it again changes nothing.
        """
        return self._verb(worker_id, "drain", {"passivate": True} if passivate else None)

    def resume(self, worker_id: str) -> Worker:
        """Have a drained worker take new bunkers again. Doing it again changes nothing."""
        return self._verb(worker_id, "resume")

    def _verb(
        self, worker_id: str, verb: str, params: Mapping[str, QueryValue] | None = None
    ) -> Worker:
        call = Call(
            "POST",
            _path(worker_id, verb),
            params or {},
            repeatable=True,
            idempotency_key=_calls.new_key(),
        )
        return self._transport.record(call, Worker)


def _path(worker_id: str, *rest: str) -> str:
    return _calls.module_path("workers", _calls.checked_id("worker id", worker_id), *rest)
