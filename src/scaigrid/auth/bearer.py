"""From an `Authorization` header to a caller.

A recognised API key or token is remembered for a few seconds under its digest, so that a burst of calls asks
the database once. Whatever changes what a caller may do has it forgotten at once in every replica,
by a hint; one that misses the hint is wrong for those few seconds. Expiry is looked at on every
call.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from scaigrid.auth import repository
from scaigrid.auth.domain import digest, has_shape
from scaigrid.auth.jwt import Verifier
from scaigrid.auth.principals import Principals
from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.errors import ServiceTokenInvalid, TokenInvalid, TokenMissing
from scaigrid.live.bus import Bus
from scaigrid.operation import Caller, Operation, system_operation
from scaigrid.permissions.domain import Permissions
from scaigrid.settings import AuthSettings
from scaigrid.tenancy import repository as tenancy

TOPIC = "identity"
"""Of the hints about what to forget."""


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


def check_service_token(header: str | None, *wanted: str) -> None:
    """Raise unless the header carries one of the service tokens `wanted`."""
    shown = bearer(header).encode()
    same = [hmac.compare_digest(shown, token.encode()) for token in wanted]
    if not any(same):  # all are compared, so that the time does not tell which it was
        raise ServiceTokenInvalid


@dataclass(frozen=True, slots=True)
class _Credential:
    """A good credential: whose it is, what it is called, and when it ends."""

    user_id: str
    id: str
    ends: datetime | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of a credential until `until` (monotonic)."""

    until: float
    ends: datetime | None
    caller: Caller


class Authenticator:
    """Recognises API keys, and the tokens of an identity provider."""

    def __init__(
        self,
        database: Database,
        permissions: Permissions,
        bus: Bus,
        clock: Clock,
        settings: AuthSettings,
        verifier: Verifier,
    ) -> None:
        self._database = database
        self._principals = Principals(database, permissions)
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._verifier = verifier
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._generation = 0
        bus.subscribe(TOPIC, self._forget)
        bus.after_gap(self._forget_all)

    async def caller(self, header: str | None) -> Caller:
        """Who sends this header. Raises TokenMissing, TokenInvalid or AuthUnavailable."""
        secret = bearer(header)
        mark = digest(secret)
        known = self._known.get(mark)
        if known is None or self._clock.monotonic() >= known.until:
            known = await self._look_up(secret, mark)
        if known.ends is not None and self._clock.now() >= known.ends:
            raise TokenInvalid
        return known.caller

    def forget_key(self, mark: str) -> None:
        """Look the key with this digest up afresh at its next use, in every replica."""
        self._bus.publish(TOPIC, f"key:{mark}")

    def forget_user(self, user_id: str) -> None:
        """The same for all credentials of a user."""
        self._bus.publish(TOPIC, f"user:{user_id}")

    def forget_tenant(self, tenant_id: str) -> None:
        """The same for all users of a tenant."""
        self._bus.publish(TOPIC, f"tenant:{tenant_id}")

    def _forget_all(self) -> None:
        """Something may have been revoked that nobody could tell us of."""
        self._generation += 1
        self._known.clear()

    def _forget(self, what: str) -> None:
        self._generation += 1  # a look-up under way has read the old state
        kind, _, key = what.partition(":")
        match kind:
            case "key":
                self._known.pop(key, None)
            case "user":
                self._drop(lambda caller: caller.user_id == key)
            case _:
                self._drop(lambda caller: caller.tenant_id == key)

    def _drop(self, concerned: Callable[[Caller], bool]) -> None:
        for mark in [mark for mark, known in self._known.items() if concerned(known.caller)]:
            del self._known[mark]

    async def _look_up(self, secret: str, mark: str) -> _Known:
        generation = self._generation
        op = system_operation("auth", self._clock)
        is_key = has_shape(secret)
        credential = await (self._of_key(op, mark) if is_key else self._of_token(op, secret))
        caller = await self._principals.caller(op, credential.user_id, credential.id)
        until = self._clock.monotonic() + self._settings.cache_ttl_s
        known = _Known(until, credential.ends, caller)
        if generation == self._generation and self._settings.cache_ttl_s:
            self._known[mark] = known
            self._known.move_to_end(mark)
            while len(self._known) > self._settings.cache_size:
                self._known.popitem(last=False)
        return known

    async def _of_key(self, op: Operation, mark: str) -> _Credential:
        async with self._database.read() as db:
            key = await repository.by_digest(op, db, mark)
        if key is None or not key.is_good(self._clock.now()):
            raise TokenInvalid
        return _Credential(key.user_id, key.id, key.expires_at)

    async def _of_token(self, op: Operation, token: str) -> _Credential:
        claims = await self._verifier.subject(token)
        async with self._database.read() as db:
            user = await tenancy.user_of_subject(op, db, claims.subject)
        if user is None:
            raise TokenInvalid
        return _Credential(user.id, f"jwt:{user.id}", claims.expires_at)
