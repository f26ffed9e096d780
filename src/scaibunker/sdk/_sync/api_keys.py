# Generated from _async/api_keys.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""API keys of the caller."""

from collections.abc import Iterator
from datetime import datetime

from scaibunker.sdk import _calls
from scaibunker.sdk._calls import Call
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk.records import ApiKeyCreated
from scaibunker.wire.api.identity import ApiKey, ApiKeyCreate

_PATH = "/v1/api-keys"


class ApiKeys:
    """The keys of the key's owner."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
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
        return self._transport.record(call, ApiKeyCreated)

    def list(self, *, user_id: str | None = None, page_size: int | None = None) -> Iterator[ApiKey]:
        """Every key of the caller, or of a user that it administers, without its secret; pages are
        fetched as they are needed."""
        call = _calls.get(_PATH, user_id=user_id, limit=page_size)
        yield from self._transport.pages(call, ApiKey)

    def revoke(self, key_id: str) -> None:
        """Make a key useless, now and for ever."""
        path = f"{_PATH}/{_calls.checked_id('key id', key_id)}"
        self._transport.done(Call("DELETE", path, repeatable=True))
