"""Making, nesting and filling groups.

What changes how a tenant's groups hang together happens one at a time: the tenant's row is the lock.
Two changes that are each fine could close a circle between them.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.exc import IntegrityError

from scaigrid.auth.bearer import Authenticator
from scaigrid.db import Database, Reader, Writer
from scaigrid.groups import repository
from scaigrid.groups.domain import MAX_GROUPS, Group, check_parent
from scaigrid.groups.errors import GroupNotEmpty, GroupNotFound, TooManyGroups
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.domain import User
from scaigrid.tenancy.errors import NameConflict, TenantNotFound, UserNotFound
from scaigrid.tenancy.scope import is_admin

MemberChange = Callable[[Operation, Writer, str, str], Awaitable[None]]


class Groups:
    """Groups of the tenants that the caller administers; to others, those that they are in."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    async def create(
        self, op: Operation, name: str, parent_id: str | None, tenant_id: str | None
    ) -> Group:
        """A new group. Raises TenantNotFound, GroupNotFound for the one above, NameConflict,
        ValidationFailed if groups would be nested too deep, TooManyGroups."""
        of = tenant_id or op.user.tenant_id
        made = Group(new_id("grp", op.token), of, parent_id, name, op.now())

        async def add(db: Writer) -> Group:
            if await tenancy.locked_tenant(op, db, of) is None:
                raise TenantNotFound
            parents = await repository.parents(op, db, of)
            if made.id in parents:
                return made  # by an attempt under the same idempotency key that died
            if len(parents) >= MAX_GROUPS:
                raise TooManyGroups
            if parent_id is not None and parent_id not in parents:
                raise GroupNotFound
            check_parent(parents, made.id, parent_id)
            await repository.add(op, db, made)
            return made

        try:
            return await self._database.transaction(add)
        except IntegrityError:
            raise NameConflict from None

    async def get(self, op: Operation, group_id: str) -> Group:
        """The group. Raises GroupNotFound."""
        async with self._database.read() as db:
            return await _found(op, db, group_id)

    async def listing(
        self, op: Operation, page: PageRequest, wanted: dict[str, str | None]
    ) -> Slice[Group]:
        """Groups, newest first."""
        async with self._database.read() as db:
            return await repository.listing(op, db, page, wanted, _only(op))

    async def change(self, op: Operation, group_id: str, changes: dict[str, Any]) -> Group:
        """The group as it is after the change. Raises GroupNotFound, NameConflict, and
        ValidationFailed for a place among the groups that it cannot have."""

        async def change(db: Writer) -> Group:
            found = await _locked(op, db, group_id)
            parent_id = changes.get("parent_id")
            if parent_id is not None:
                parents = await repository.parents(op, db, found.tenant_id)
                if parent_id not in parents:
                    raise GroupNotFound
                check_parent(parents, group_id, parent_id)
            if changes:
                await repository.change(op, db, group_id, changes)
            return await _found(op, db, group_id)

        try:
            changed = await self._database.transaction(change)
        except IntegrityError:
            raise NameConflict from None
        self._authenticator.forget_tenant(changed.tenant_id)
        return changed

    async def delete(self, op: Operation, group_id: str) -> Group:
        """Delete a group and take its custom roles from it. Raises GroupNotFound, GroupNotEmpty."""

        async def delete(db: Writer) -> Group:
            found = await _locked(op, db, group_id)
            if not await repository.is_empty(op, db, group_id):
                raise GroupNotEmpty
            await repository.remove(op, db, group_id)
            return found

        return await self._database.transaction(delete)

    async def members(self, op: Operation, group_id: str, page: PageRequest) -> Slice[User]:
        """The users in a group. Raises GroupNotFound."""
        async with self._database.read() as db:
            await _found(op, db, group_id)
            return await repository.members(op, db, group_id, page)

    async def add_member(self, op: Operation, group_id: str, user_id: str) -> Group:
        """Put a user of the same tenant into a group. Raises GroupNotFound, UserNotFound."""

        return await self._member(op, group_id, user_id, repository.add_member)

    async def remove_member(self, op: Operation, group_id: str, user_id: str) -> Group:
        """Take a user out of a group. Raises GroupNotFound, UserNotFound."""

        return await self._member(op, group_id, user_id, repository.remove_member)

    async def _member(
        self, op: Operation, group_id: str, user_id: str, change: MemberChange
    ) -> Group:
        async def work(db: Writer) -> Group:
            found = await _locked(op, db, group_id)
            user = await tenancy.user(op, db, user_id)
            if user is None or user.tenant_id != found.tenant_id:
                raise UserNotFound
            await change(op, db, group_id, user_id)
            return found

        group = await self._database.transaction(work)
        self._authenticator.forget_user(user_id)
        return group


def _only(op: Operation) -> str | None:
    """Whose groups alone the caller may see."""
    return None if is_admin(op.user) else op.user.user_id


async def _found(op: Operation, db: Reader, group_id: str) -> Group:
    found = await repository.group(op, db, group_id, _only(op))
    if found is None:
        raise GroupNotFound
    return found


async def _locked(op: Operation, db: Writer, group_id: str) -> Group:
    """The group, and no other change to the groups of its tenant until the transaction ends."""
    found = await _found(op, db, group_id)
    await tenancy.locked_tenant(op, db, found.tenant_id)
    return await _found(op, db, group_id)
