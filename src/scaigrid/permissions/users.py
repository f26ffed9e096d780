"""The permissions that a user has by itself, and all that it holds."""

from collections.abc import Sequence

from scaigrid.auth.bearer import Authenticator
from scaigrid.db import Database, Reader, Writer
from scaigrid.operation import Operation
from scaigrid.permissions import repository
from scaigrid.permissions.domain import Permissions
from scaigrid.permissions.granting import check_permissions, check_role
from scaigrid.permissions.models import UserPermissions
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.domain import User
from scaigrid.tenancy.errors import UserNotFound


class PermissionsOfUsers:
    """For the administrators of those users."""

    def __init__(
        self, database: Database, permissions: Permissions, authenticator: Authenticator
    ) -> None:
        self._database = database
        self._permissions = permissions
        self._authenticator = authenticator

    async def get(self, op: Operation, user_id: str) -> UserPermissions:
        """What a user holds. Raises UserNotFound."""
        async with self._database.read() as db:
            user = await tenancy.user(op, db, user_id)
            if user is None:
                raise UserNotFound
            return await self._held(op, db, user)

    async def set(self, op: Operation, user_id: str, wanted: Sequence[str]) -> UserPermissions:
        """Give a user exactly these keys by itself. Raises UserNotFound, ValidationFailed for a key
        that cannot be given, PermissionDenied for one that the caller does not hold or for a user
        above it."""
        check_permissions(op.user, self._permissions, wanted)

        async def change(db: Writer) -> UserPermissions:
            user = await tenancy.locked_user(op, db, user_id)
            if user is None:
                raise UserNotFound
            check_role(op.user, user.role)
            await repository.set_user_permissions(op, db, user_id, wanted)
            return await self._held(op, db, user)

        held = await self._database.transaction(change)
        self._authenticator.forget_user(user_id)
        return held

    async def _held(self, op: Operation, db: Reader, user: User) -> UserPermissions:
        own = await repository.user_permissions_of(op, db, user.id)
        custom = await repository.custom_permissions(op, db, user.id)
        return UserPermissions(
            user_id=user.id,
            tenant_id=user.tenant_id,
            permissions=sorted(own),
            effective=sorted(self._permissions.of(user.role, custom)),
        )
