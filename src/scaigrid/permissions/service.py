"""Making custom roles and giving them to users and groups."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.exc import IntegrityError

from scaigrid.auth.bearer import Authenticator
from scaigrid.db import Database, Reader, Writer
from scaigrid.groups import repository as groups
from scaigrid.groups.domain import Group
from scaigrid.groups.errors import GroupNotFound
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.permissions import assignment, repository
from scaigrid.permissions.domain import CustomRole, Permissions
from scaigrid.permissions.errors import CustomRoleNotFound
from scaigrid.permissions.granting import check_permissions
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.domain import User
from scaigrid.tenancy.errors import NameConflict, TenantNotFound, UserNotFound


class CustomRoles:
    """Custom roles of the tenants that the caller administers."""

    def __init__(
        self, database: Database, permissions: Permissions, authenticator: Authenticator
    ) -> None:
        self._database = database
        self._permissions = permissions
        self._authenticator = authenticator

    async def create(
        self, op: Operation, name: str, permissions: Sequence[str], tenant_id: str | None
    ) -> CustomRole:
        """A new custom role. Raises ValidationFailed for a key that it cannot carry,
        PermissionDenied for one that the caller does not hold, TenantNotFound, NameConflict."""
        check_permissions(op.user, self._permissions, permissions)
        of = tenant_id or op.user.tenant_id
        keys = tuple(sorted(set(permissions)))
        role = CustomRole(new_id("rol", op.token), of, name, keys, op.now())

        async def add(db: Writer) -> CustomRole:
            if await tenancy.tenant(op, db, of) is None:
                raise TenantNotFound
            await repository.add_custom_role(op, db, role)
            return role

        try:
            return await self._database.transaction(add)
        except IntegrityError:
            async with self._database.read() as db:
                made = await repository.custom_role(op, db, role.id)
        if made is None:
            raise NameConflict
        return made  # by an attempt under the same idempotency key, which died before it answered

    async def get(self, op: Operation, role_id: str) -> CustomRole:
        """The custom role. Raises CustomRoleNotFound."""
        async with self._database.read() as db:
            return await _found(op, db, role_id)

    async def listing(
        self, op: Operation, page: PageRequest, tenant_id: str | None
    ) -> Slice[CustomRole]:
        """Custom roles, newest first."""
        async with self._database.read() as db:
            return await repository.list_custom_roles(op, db, page, tenant_id)

    async def change(self, op: Operation, role_id: str, changes: dict[str, Any]) -> CustomRole:
        """The custom role as it is after the change. Raises as `create`."""
        permissions = changes.get("permissions")
        if permissions is not None:
            check_permissions(op.user, self._permissions, permissions)

        async def change(db: Writer) -> CustomRole:
            await _found(op, db, role_id, lock=True)
            await repository.change_custom_role(op, db, role_id, changes.get("name"), permissions)
            return await _found(op, db, role_id)

        try:
            role = await self._database.transaction(change)
        except IntegrityError:
            raise NameConflict from None
        self._authenticator.forget_tenant(role.tenant_id)
        return role

    async def delete(self, op: Operation, role_id: str) -> CustomRole:
        """Take a custom role from everyone and delete it. Raises CustomRoleNotFound."""

        async def delete(db: Writer) -> CustomRole:
            role = await _found(op, db, role_id, lock=True)
            await repository.delete_custom_role(op, db, role_id)
            return role

        role = await self._database.transaction(delete)
        self._authenticator.forget_tenant(role.tenant_id)
        return role

    async def members(self, op: Operation, role_id: str, page: PageRequest) -> Slice[User]:
        """The users who have it by themselves. Raises CustomRoleNotFound."""
        async with self._database.read() as db:
            await _found(op, db, role_id)
            return await assignment.members(op, db, role_id, page)

    async def groups(self, op: Operation, role_id: str, page: PageRequest) -> Slice[Group]:
        """The groups that have it. Raises CustomRoleNotFound."""
        async with self._database.read() as db:
            await _found(op, db, role_id)
            return await assignment.groups_with(op, db, role_id, page)

    async def assign_user(
        self, op: Operation, role_id: str, user_id: str, *, has: bool
    ) -> CustomRole:
        """Give it to a user of the same tenant, or take it away. Raises CustomRoleNotFound,
        UserNotFound."""
        work = assignment.give if has else assignment.take

        async def assign(db: Writer) -> CustomRole:
            role = await _found(op, db, role_id, lock=True)
            user = await tenancy.user(op, db, user_id)
            if user is None or user.tenant_id != role.tenant_id:
                raise UserNotFound
            await work(op, db, role_id, user_id=user_id)
            return role

        role = await self._database.transaction(assign)
        self._authenticator.forget_user(user_id)
        return role

    async def assign_group(
        self, op: Operation, role_id: str, group_id: str, *, has: bool
    ) -> CustomRole:
        """Give it to a group of the same tenant, or take it away. Raises CustomRoleNotFound,
        GroupNotFound."""
        work = assignment.give if has else assignment.take

        async def assign(db: Writer) -> CustomRole:
            role = await _found(op, db, role_id, lock=True)
            # The tenant's row is the lock on its groups: this one is not deleted meanwhile.
            await tenancy.locked_tenant(op, db, role.tenant_id)
            group = await groups.group(op, db, group_id, None)
            if group is None or group.tenant_id != role.tenant_id:
                raise GroupNotFound
            await work(op, db, role_id, group_id=group_id)
            return role

        role = await self._database.transaction(assign)
        self._authenticator.forget_tenant(role.tenant_id)
        return role


async def _found(op: Operation, db: Reader, role_id: str, *, lock: bool = False) -> CustomRole:
    found = await repository.custom_role(op, db, role_id, lock=lock)
    if found is None:
        raise CustomRoleNotFound
    return found
