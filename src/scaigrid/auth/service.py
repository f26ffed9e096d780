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
from scaigrid.permissions.domain import may_manage
from scaigrid.permissions.granting import check_role
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.domain import User
from scaigrid.tenancy.errors import UserNotFound


async def issue(
    op: Operation,
    db: Writer,
    *,
    tenant_id: str,
    user_id: str,
    name: str,
    expires_at: datetime | None = None,
    secret: str | None = None,
) -> tuple[ApiKey, str]:
    """Store a new key for a user; returns its record and the secret, which is kept nowhere. The
    secret is made here unless an operator brings one."""
    secret = secret or new_secret()
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
    """A user's own keys, and those of users that it administers."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    async def create(
        self, op: Operation, name: str, expires_at: datetime | None, user_id: str | None = None
    ) -> tuple[ApiKey, str]:
        """A new key for the caller, or for a user that it administers. A time without a zone is
        UTC. Raises UserNotFound, PermissionDenied, ValidationFailed, IdempotencyConflict."""
        if expires_at is not None and expires_at.tzinfo is None:
            expires_at = expires_at.replace(tzinfo=UTC)
        if expires_at is not None and expires_at <= op.now():
            raise ValidationFailed.of("expires_at", "must lie in the future")
        try:
            async with self._database.write() as db:
                user = await self._user(op, db, user_id or op.user.user_id)
                return await issue(
                    op,
                    db,
                    tenant_id=user.tenant_id,
                    user_id=user.id,
                    name=name,
                    expires_at=expires_at,
                )
        except IntegrityError:
            raise IdempotencyConflict(
                "An earlier attempt has made the key and died before it could be shown.",
                hint="Revoke that key and make a new one under a new idempotency key.",
            ) from None

    async def listing(self, op: Operation, page: PageRequest, user_id: str | None) -> Slice[ApiKey]:
        """The keys of the caller, or of a user that it administers, revoked ones included, newest
        first."""
        async with self._database.read() as db:
            return await repository.listing(op, db, page, user_id or op.user.user_id)

    async def revoke(self, op: Operation, key_id: str) -> ApiKey:
        """End a key, from this moment on; ending it twice is no error. Raises NotFound, also for
        a key of somebody whose role is above the caller's."""
        async with self._database.write() as db:
            known = await repository.get(op, db, key_id)
            holder = await tenancy.user(op, db, known.user_id) if known else None
            manages = holder is not None and may_manage(op.user.role, holder.role)
            found = await repository.revoke(op, db, key_id, op.now()) if manages else None
        if found is None:
            raise NotFound("No such API key.")
        key, mark = found
        self._authenticator.forget_key(mark)
        return key

    async def _user(self, op: Operation, db: Writer, user_id: str) -> User:
        """Whose keys the caller may make: its own, and those of users it administers."""
        user = await tenancy.user(op, db, user_id)
        if user is None:
            raise UserNotFound
        check_role(op.user, user.role)
        return user
