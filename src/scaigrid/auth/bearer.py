"""From an `Authorization` header to a caller.

A recognised key is remembered for a few seconds under its digest, so that a burst of calls asks
the database once. Revoking forgets it here at once; expiry is looked at on every call.
"""

import hmac
from collections import OrderedDict

from scaigrid.auth import repository
from scaigrid.auth.domain import ApiKey, digest, has_shape
from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.errors import ServiceTokenInvalid, TokenInvalid, TokenMissing
from scaigrid.operation import Caller, system_operation
from scaigrid.permissions.domain import Permissions
from scaigrid.permissions.repository import custom_permissions
from scaigrid.settings import AuthSettings


def bearer(header: str | None) -> str:
    """The token of a bearer header. Raises TokenMissing or TokenInvalid."""
    if not header or not header.strip():
        raise TokenMissing
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise TokenInvalid("The Authorization header is not of the bearer scheme.")
    token = token.strip()
    if not token:
        raise TokenMissing
    return token


def check_service_token(header: str | None, wanted: str) -> None:
    """Raise unless the header carries the service token `wanted`."""
    if not hmac.compare_digest(bearer(header).encode(), wanted.encode()):
        raise ServiceTokenInvalid


class Authenticator:
    """Recognises API keys."""

    def __init__(
        self, database: Database, permissions: Permissions, clock: Clock, settings: AuthSettings
    ) -> None:
        self._database = database
        self._permissions = permissions
        self._clock = clock
        self._settings = settings
        self._known: OrderedDict[str, tuple[float, ApiKey, Caller]] = OrderedDict()
        self._generation = 0

    async def caller(self, header: str | None) -> Caller:
        """Who sends this header. Raises TokenMissing or TokenInvalid."""
        secret = bearer(header)
        if not has_shape(secret):
            raise TokenInvalid
        mark = digest(secret)
        known = self._known.get(mark)
        if known and self._clock.monotonic() < known[0]:
            _, key, caller = known
        else:
            key, caller = await self._look_up(mark)
        if not key.is_good(self._clock.now()):
            raise TokenInvalid
        return caller

    def remembers(self, header: str | None) -> bool:
        """Whether this header's caller would be known without a look-up."""
        try:
            known = self._known.get(digest(bearer(header)))
        except (TokenMissing, TokenInvalid):
            return False
        return known is not None and self._clock.monotonic() < known[0]

    def forget(self, mark: str) -> None:
        """Look the key with this digest up afresh at its next use."""
        self._generation += 1  # a look-up under way has read the old state
        self._known.pop(mark, None)

    async def _look_up(self, mark: str) -> tuple[ApiKey, Caller]:
        generation = self._generation
        op = system_operation("auth", self._clock)
        async with self._database.read() as db:
            holder = await repository.holder(op, db, mark)
            if holder is None:
                raise TokenInvalid
            custom = await custom_permissions(op, db, holder.key.user_id)
        caller = Caller(
            user_id=holder.key.user_id,
            tenant_id=holder.key.tenant_id,
            name=holder.name,
            role=holder.role,
            permissions=self._permissions.of(holder.role, custom),
            credential_id=holder.key.id,
            partner_id=holder.partner_id,
        )
        if generation == self._generation and self._settings.cache_ttl_s:
            self._known[mark] = (
                self._clock.monotonic() + self._settings.cache_ttl_s,
                holder.key,
                caller,
            )
            self._known.move_to_end(mark)
            while len(self._known) > self._settings.cache_size:
                self._known.popitem(last=False)
        return holder.key, caller
