"""Bridges: what `transit` bunkers are plugged into."""

from collections.abc import AsyncIterator

from scaibunker.sdk import _calls
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import Call
from scaibunker.wire.api.bridges import Bridge, BridgeCreate


class AsyncBridges:
    """The bridges of the key's tenant."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self, name: str, worker_id: str, *, idempotency_key: str | None = None
    ) -> Bridge:
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
        return await self._transport.record(call, Bridge)

    async def list(self, *, page_size: int | None = None) -> AsyncIterator[Bridge]:
        """Every bridge, newest first; pages are fetched as they are needed."""
        async for bridge in self._transport.pages(_calls.get(_path(), limit=page_size), Bridge):
            yield bridge

    async def get(self, bridge_id: str) -> Bridge:
        """A bridge by its id."""
        return await self._transport.record(_calls.get(_one(bridge_id)), Bridge)

    async def delete(self, bridge_id: str) -> Bridge:
        """Delete a bridge that no bunker is plugged into (`Conflict`).

        Not sent again by itself when its answer was lost: a second time it would be `NotFound`.
        """
        return await self._transport.record(Call("DELETE", _one(bridge_id)), Bridge)


def _path(*rest: str) -> str:
    return _calls.module_path("bridges", *rest)


def _one(bridge_id: str) -> str:
    return _path(_calls.checked_id("bridge id", bridge_id))
