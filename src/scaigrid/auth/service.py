"""Making, listing and revoking API keys."""

from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError

from scaigrid.auth import repository
from scaigrid.auth.bearer import Authenticator
from scaigrid.auth.domain import SHOWN, ApiKey, digest, new_secret
from scaigrid.db import Database, Writer
from scaigrid.errors import IdempotencyConflict, NotFound, ValidationFailed
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.ids import new_id
from scaigrid.operation import Operation


async def issue(
    op: Operation,
    db: Writer,
    *,
    tenant_id: str,
    user_id: str,
    name: str,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Store a new key for a user; returns its record and the secret, which is kept nowhere."""
    secret = new_secret()
    key = ApiKey(
        id=new_id("key", op.token),
        tenant_id=tenant_id,
        user_id=user_id,
        name=name,
        prefix=secret[:SHOWN],
        created_at=op.now(),
        expires_at=expires_at,
        revoked_at=None,
    )
    await repository.add(op, db, key, digest(secret))
    return key, secret


class ApiKeys:
    """A user's own keys."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    async def create(
        self, op: Operation, name: str, expires_at: datetime | None
    ) -> tuple[ApiKey, str]:
        """A new key for the caller. A time without a zone is UTC."""
        if expires_at is not None and expires_at.tzinfo is None:
            expires_at = expires_at.replace(tzinfo=UTC)
        if expires_at is not None and expires_at <= op.now():
            raise ValidationFailed.of("expires_at", "must lie in the future")
        caller = op.user
        try:
            async with self._database.write() as db:
                return await issue(
                    op,
                    db,
                    tenant_id=caller.tenant_id,
                    user_id=caller.user_id,
                    name=name,
                    expires_at=expires_at,
                )
        except IntegrityError:
            raise IdempotencyConflict(
                "An earlier attempt has made the key and died before it could be shown.",
                hint="Revoke that key and make a new one under a new idempotency key.",
            ) from None

    async def listing(self, op: Operation, page: PageRequest) -> Slice[ApiKey]:
        """The caller's keys, revoked ones included, newest first."""
        async with self._database.read() as db:
            return await repository.listing(op, db, page)

    async def revoke(self, op: Operation, key_id: str) -> ApiKey:
        """End a key, from this moment on. Raises NotFound; ending it twice is no error."""
        async with self._database.write() as db:
            found = await repository.revoke(op, db, key_id, op.now())
        if found is None:
            raise NotFound("No such API key.")
        key, mark = found
        self._authenticator.forget_key(mark)
        return key
