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

    async def create(
        self, name: str, *, expires_at: datetime | None = None, user_id: str | None = None
    ) -> ApiKeyCreated:
        """Make a key, for the caller or a user that it administers. Its secret, `key`, is in this
        answer and in no other.

        Carries no Idempotency-Key: the server would have to keep the secret to answer again.
        """
        fields: dict[str, object] = {"name": name}
        if expires_at is not None:
            fields["expires_at"] = expires_at
        if user_id is not None:
            fields["user_id"] = user_id
        call = Call("POST", _PATH, body=_calls.body(ApiKeyCreate, fields))
        return await self._transport.record(call, ApiKeyCreated)

    async def list(
        self, *, user_id: str | None = None, page_size: int | None = None
    ) -> AsyncIterator[ApiKey]:
        """Every key of the caller, or of a user that it administers, without its secret; pages are
        fetched as they are needed."""
        call = _calls.get(_PATH, user_id=user_id, limit=page_size)
        async for key in self._transport.pages(call, ApiKey):
            yield key

    async def revoke(self, key_id: str) -> None:
        """Make a key useless, now and for ever."""
        path = f"{_PATH}/{_calls.checked_id('key id', key_id)}"
        await self._transport.done(Call("DELETE", path, repeatable=True))
