"""API keys of the caller."""

from collections.abc import AsyncIterator
from datetime import datetime

from scaibunker.sdk import _calls
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import Call
from scaibunker.sdk.records import ApiKeyCreated
from scaibunker.wire.api.identity import ApiKey, ApiKeyCreate

_PATH = "/v1/api-keys"


class AsyncApiKeys:
    """The keys of the key's owner."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(self, name: str, *, expires_at: datetime | None = None) -> ApiKeyCreated:
        """Make a key. Its secret, `key`, is in this answer and in no other.

        Carries no Idempotency-Key: the server would have to keep the secret to answer again.
        """
        fields: dict[str, object] = {"name": name}
        if expires_at is not None:
            fields["expires_at"] = expires_at
        call = Call("POST", _PATH, body=_calls.body(ApiKeyCreate, fields))
        return await self._transport.record(call, ApiKeyCreated)

    async def list(self, *, page_size: int | None = None) -> AsyncIterator[ApiKey]:
        """Every key, without its secret; pages are fetched as they are needed."""
        async for key in self._transport.pages(_calls.get(_PATH, limit=page_size), ApiKey):
            yield key

    async def revoke(self, key_id: str) -> None:
        """Make a key useless, now and for ever."""
        path = f"{_PATH}/{_calls.checked_id('key id', key_id)}"
        await self._transport.done(Call("DELETE", path, repeatable=True))
