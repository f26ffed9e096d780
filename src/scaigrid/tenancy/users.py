"""Making and changing users. Nobody makes anybody more than itself is."""

from typing import Any

from sqlalchemy.exc import IntegrityError

from scaigrid.auth import repository as keys
from scaigrid.auth.bearer import Authenticator
from scaigrid.db import Database, Writer
from scaigrid.errors import PermissionDenied, ValidationFailed
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.permissions.domain import Role
from scaigrid.permissions.granting import check_role
from scaigrid.tenancy import repository
from scaigrid.tenancy.domain import User, UserStatus
from scaigrid.tenancy.errors import LastSuperAdmin, NameConflict, TenantNotFound, UserNotFound
from scaigrid.tenancy.repository import UserFilter


class Users:
    """The users that the caller administers, and itself."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    async def listing(self, op: Operation, page: PageRequest, wanted: UserFilter) -> Slice[User]:
        """Newest first."""
        async with self._database.read() as db:
            return await repository.list_users(op, db, page, wanted)

    async def get(self, op: Operation, user_id: str) -> User:
        """One. Raises UserNotFound."""
        async with self._database.read() as db:
            found = await repository.user(op, db, user_id)
        if found is None:
            raise UserNotFound
        return found

    async def create(
        self, op: Operation, tenant_id: str | None, name: str, role: Role, subject: str | None
    ) -> User:
        """A new one. Raises TenantNotFound, NameConflict, PermissionDenied, ValidationFailed."""
        check_role(op.user, role)
        if subject is not None:
            _check_subject(op)
        home = tenant_id or op.user.tenant_id

        async def add(db: Writer) -> User:
            if await repository.tenant(op, db, home) is None:
                raise TenantNotFound
            return await repository.add_user(op, db, home, name, role, subject)

        try:
            return await self._database.transaction(add)
        except IntegrityError:
            async with self._database.read() as db:  # an earlier attempt may have made it
                made = await repository.user(op, db, new_id("usr", op.token))
                taken = await repository.user_by_name(op, db, home, name)
            if made is not None:
                return made
            raise _conflict(name_taken=taken is not None) from None

    async def change(self, op: Operation, user_id: str, values: dict[str, Any]) -> User:
        """Change name, role, status or subject.

        Raises UserNotFound, NameConflict, LastSuperAdmin, PermissionDenied, ValidationFailed.
        """
        if "role" in values:
            check_role(op.user, values["role"])
        if "subject" in values:
            _check_subject(op)
        if user_id == op.user.user_id and not values.keys().isdisjoint({"role", "status"}):
            raise ValidationFailed.of("role", "you cannot change your own role or status")

        async def change(db: Writer) -> User:
            user = await self._manageable(op, db, user_id, values)
            if values:
                await repository.change_user(op, db, user_id, values)
            return await repository.user(op, db, user_id) or user

        try:
            changed = await self._database.transaction(change)
        except IntegrityError:
            raise _conflict(name_taken="name" in values and "subject" not in values) from None
        self._authenticator.forget_user(user_id)
        return changed

    async def end(self, op: Operation, user_id: str) -> User:
        """Disable a user for good: its API keys are revoked. What it owns stays, and its name too,
        because the audit log and the accounts speak of it.

        Raises UserNotFound, LastSuperAdmin, PermissionDenied, ValidationFailed.
        """
        if user_id == op.user.user_id:
            raise ValidationFailed.of("user_id", "you cannot end yourself")
        values = {"status": UserStatus.DISABLED, "subject": None}

        async def end(db: Writer) -> User:
            user = await self._manageable(op, db, user_id, values)
            await repository.change_user(op, db, user_id, values)
            await keys.revoke_all(op, db, user_id, op.now())
            return await repository.user(op, db, user_id) or user

        ended = await self._database.transaction(end)
        self._authenticator.forget_user(user_id)
        return ended

    async def _manageable(
        self, op: Operation, db: Writer, user_id: str, values: dict[str, Any]
    ) -> User:
        """The user, held, if the caller may change it so."""
        user = await repository.locked_user(op, db, user_id)
        if user is None:
            raise UserNotFound
        check_role(op.user, user.role)
        stays = values.get("role", user.role) == Role.SUPER_ADMIN and (
            values.get("status", user.status) == UserStatus.ACTIVE
        )
        if user.role == Role.SUPER_ADMIN and user.status is UserStatus.ACTIVE and not stays:
            left = [each for each in await repository.super_admins(op, db) if each.id != user_id]
            if not left:
                raise LastSuperAdmin
        return user


def _check_subject(op: Operation) -> None:
    """A subject is a name of the platform's identity provider: whoever could claim one for its own
    tenant would be who that person logs in to, and would learn whose it is already."""
    if op.user.role != Role.SUPER_ADMIN:
        raise PermissionDenied.of_role(Role.SUPER_ADMIN)


def _conflict(*, name_taken: bool) -> NameConflict:
    if name_taken:
        return NameConflict("The tenant has a user of that name.")
    return NameConflict("The name or the subject is another user's.")
