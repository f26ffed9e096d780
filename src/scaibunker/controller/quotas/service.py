"""Making profiles and assigning them."""

from typing import Any

from sqlalchemy.exc import IntegrityError

from scaibunker.controller.permissions import Key
from scaibunker.controller.quotas import repository
from scaibunker.controller.quotas.domain import MODES, Assignment, Mode, Profile, TargetKind
from scaibunker.controller.quotas.errors import QuotaAssignmentNotFound, QuotaProfileNotFound
from scaigrid.db import Database, Reader, Writer
from scaigrid.errors import PermissionDenied, ValidationFailed
from scaigrid.groups.errors import GroupNotFound
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.errors import NameConflict, TenantNotFound, UserNotFound


class Profiles:
    """Profiles of the tenants in the caller's reach. Those of the platform are everybody's to read,
    and the platform's administrators' to change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        op: Operation,
        tenant_id: str | None,
        name: str,
        description: str,
        caps: dict[str, Any],
    ) -> Profile:
        """A new profile; without a tenant a default of the platform. Raises PermissionDenied,
        TenantNotFound, NameConflict."""
        if tenant_id is None:
            op.user.require(Key.ADMIN_PLATFORM)
        made = Profile(
            id=new_id("qpf", op.token),
            tenant_id=tenant_id,
            name=name,
            description=description,
            created_at=op.now(),
            **caps,
        )

        async def add(db: Writer) -> Profile:
            if tenant_id is not None and await tenancy.tenant(op, db, tenant_id) is None:
                raise TenantNotFound
            known = await repository.get(op, db, made.id)
            if known is not None:
                return known  # by an attempt under the same idempotency key that died
            await repository.add(op, db, made)
            return made

        try:
            return await self._database.transaction(add)
        except IntegrityError:
            raise NameConflict from None

    async def get(self, op: Operation, profile_id: str) -> Profile:
        """The profile. Raises QuotaProfileNotFound."""
        async with self._database.read() as db:
            return await _found(op, db, profile_id)

    async def listing(self, op: Operation, page: PageRequest) -> Slice[Profile]:
        """Profiles, newest first."""
        async with self._database.read() as db:
            return await repository.listing(op, db, page)

    async def change(self, op: Operation, profile_id: str, changes: dict[str, Any]) -> Profile:
        """The profile as it is after the change. Raises QuotaProfileNotFound, PermissionDenied,
        NameConflict."""

        async def work(db: Writer) -> Profile:
            await _changeable(op, db, profile_id)
            if changes:
                await repository.change(op, db, profile_id, changes)
            return await _found(op, db, profile_id)

        try:
            return await self._database.transaction(work)
        except IntegrityError:
            raise NameConflict from None

    async def delete(self, op: Operation, profile_id: str) -> Profile:
        """Delete a profile and its assignments; what bunkers hold stays held. Raises
        QuotaProfileNotFound, PermissionDenied."""

        async def work(db: Writer) -> Profile:
            found = await _changeable(op, db, profile_id)
            await repository.remove(op, db, profile_id)
            return found

        return await self._database.transaction(work)

    async def assignments(
        self, op: Operation, profile_id: str, page: PageRequest
    ) -> Slice[Assignment]:
        """Whom a profile applies to. Raises QuotaProfileNotFound."""
        async with self._database.read() as db:
            await _found(op, db, profile_id)
            return await repository.assignments(op, db, profile_id, page)

    async def assignment(self, op: Operation, profile_id: str, assignment_id: str) -> Assignment:
        """Raises QuotaProfileNotFound, QuotaAssignmentNotFound."""
        async with self._database.read() as db:
            await _found(op, db, profile_id)
            return await _assigned(op, db, profile_id, assignment_id)

    async def assign(
        self, op: Operation, profile_id: str, kind: TargetKind, target_id: str, mode: Mode | None
    ) -> Assignment:
        """Have a profile apply to a user or a group of its tenant; one of the platform to any. Raises
        QuotaProfileNotFound, PermissionDenied, UserNotFound, GroupNotFound, ValidationFailed, and
        NameConflict if another one applies to the target."""
        chosen = mode or MODES[kind][0]
        if chosen not in MODES[kind]:
            allowed = " or ".join(each.value for each in MODES[kind])
            raise ValidationFailed.of("mode", f"of a {kind.value} is {allowed}")

        async def work(db: Writer) -> Assignment:
            profile = await _changeable(op, db, profile_id)
            tenant_id = await _tenant_of(op, db, kind, target_id)
            if profile.tenant_id not in (None, tenant_id):
                raise _MISSING[kind]
            known = await repository.assignment_of(op, db, kind, target_id)
            if known is None:
                made = Assignment(
                    new_id("qas", op.token),
                    tenant_id,
                    profile_id,
                    kind,
                    target_id,
                    chosen,
                    op.now(),
                )
                await repository.assign(op, db, made)
                return made
            if (known.profile_id, known.mode) == (profile_id, chosen):
                return known
            raise NameConflict(
                f"The {kind.value} has the profile {known.profile_id} ({known.mode.value}) already.",
                hint="Delete that assignment first.",
            )

        return await self._database.upsert(work)

    async def unassign(self, op: Operation, profile_id: str, assignment_id: str) -> Assignment:
        """Have a profile not apply any more. Raises QuotaProfileNotFound, PermissionDenied,
        QuotaAssignmentNotFound."""

        async def work(db: Writer) -> Assignment:
            await _changeable(op, db, profile_id)
            found = await _assigned(op, db, profile_id, assignment_id)
            await repository.unassign(op, db, assignment_id)
            return found

        return await self._database.transaction(work)


_MISSING = {TargetKind.USER: UserNotFound, TargetKind.GROUP: GroupNotFound}


async def _found(op: Operation, db: Reader, profile_id: str) -> Profile:
    found = await repository.get(op, db, profile_id)
    if found is None:
        raise QuotaProfileNotFound
    return found


async def _changeable(op: Operation, db: Writer, profile_id: str) -> Profile:
    """The profile, which nobody else changes or assigns until the transaction ends."""
    found = await repository.locked(op, db, profile_id)
    if found is None:
        raise QuotaProfileNotFound
    if found.tenant_id is None and not op.user.holds(Key.ADMIN_PLATFORM):
        raise PermissionDenied.lacking(Key.ADMIN_PLATFORM)
    return found


async def _assigned(op: Operation, db: Reader, profile_id: str, assignment_id: str) -> Assignment:
    found = await repository.assignment(op, db, profile_id, assignment_id)
    if found is None:
        raise QuotaAssignmentNotFound
    return found


async def _tenant_of(op: Operation, db: Reader, kind: TargetKind, target_id: str) -> str:
    """The tenant of a user or a group in the caller's reach. Raises UserNotFound, GroupNotFound."""
    if kind is TargetKind.GROUP:
        group = await repository.group(op, db, target_id)
        if group is None:
            raise GroupNotFound
        return group.tenant_id
    # Who holds the permission reaches the tenant's users, though it may administer none of them.
    user = await tenancy.user(op.as_platform("whom a quota is for"), db, target_id)
    if user is None or await tenancy.tenant(op, db, user.tenant_id) is None:
        raise UserNotFound
    return user.tenant_id
