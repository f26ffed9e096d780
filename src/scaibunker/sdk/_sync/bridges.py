# Generated from _async/bridges.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Bridges: what `transit` bunkers are plugged into."""

from collections.abc import Iterator

from scaibunker.sdk import _calls
from scaibunker.sdk._calls import Call
from scaibunker.sdk._sync.transport import Transport
from scaibunker.wire.api.bridges import Bridge, BridgeCreate


class Bridges:
    """The bridges of the key's tenant."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, worker_id: str, *, idempotency_key: str | None = None) -> Bridge:
        """Make a bridge on a worker; it is ready when this comes back. Bunkers that name it run on that worker.

        Never makes two: the request carries an Idempotency-Key, and is sent again by itself if its answer was lost.
        """
        call = Call(
            "POST",
            _path(),
            body=_calls.body(BridgeCreate, {"name": name, "worker_id": worker_id}),
            repeatable=True,
            idempotency_key=idempotency_key or _calls.new_key(),
        )
        return self._transport.record(call, Bridge)

    def list(self, *, page_size: int | None = None) -> Iterator[Bridge]:
        """Every bridge, newest first; pages are fetched as they are needed."""
        yield from self._transport.pages(_calls.get(_path(), limit=page_size), Bridge)

    def get(self, bridge_id: str) -> Bridge:
        """A bridge by its id."""
        return self._transport.record(_calls.get(_one(bridge_id)), Bridge)

    def delete(self, bridge_id: str) -> Bridge:
        """Delete a bridge that no bunker is plugged into (`Conflict`).

        Not sent again by itself when its answer was lost: a second time it would be `NotFound`.
        """
        return self._transport.record(Call("DELETE", _one(bridge_id)), Bridge)


def _path(*rest: str) -> str:
    return _calls.module_path("bridges", *rest)


def _one(bridge_id: str) -> str:
    return _path(_calls.checked_id("bridge id", bridge_id))
