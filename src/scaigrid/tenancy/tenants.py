"""Making and changing partners and tenants."""

from typing import Any

from sqlalchemy.exc import IntegrityError

from scaigrid.auth.bearer import Authenticator
from scaigrid.db import Database, Writer
from scaigrid.errors import PermissionDenied, ValidationFailed
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.permissions.domain import Role
from scaigrid.permissions.granting import check_role
from scaigrid.tenancy import repository
from scaigrid.tenancy.domain import Partner, Tenant, TenantStatus
from scaigrid.tenancy.errors import (
    LastSuperAdmin,
    NameConflict,
    PartnerNotFound,
    TenantNotFound,
)
from scaigrid.tenancy.repository import TenantFilter


class Partners:
    """All partners: for super-admins, as the routes say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listing(self, op: Operation, page: PageRequest) -> Slice[Partner]:
        """All, newest first."""
        async with self._database.read() as db:
            return await repository.list_partners(op, db, page)

    async def get(self, op: Operation, partner_id: str) -> Partner:
        """One. Raises PartnerNotFound."""
        async with self._database.read() as db:
            found = await repository.partner(op, db, partner_id)
        if found is None:
            raise PartnerNotFound
        return found

    async def create(self, op: Operation, name: str) -> Partner:
        """A new one. Raises NameConflict."""
        try:
            async with self._database.write() as db:
                return await repository.add_partner(op, db, name)
        except IntegrityError:
            async with self._database.read() as reader:  # an earlier attempt may have made it
                made = await repository.partner(op, reader, new_id("ptn", op.token))
            if made is None:
                raise NameConflict from None
            return made

    async def rename(self, op: Operation, partner_id: str, name: str) -> Partner:
        """Another name. Raises PartnerNotFound, NameConflict."""
        try:
            async with self._database.write() as db:
                if not await repository.rename_partner(op, db, partner_id, name):
                    raise PartnerNotFound
        except IntegrityError:
            raise NameConflict from None
        return await self.get(op, partner_id)


class Tenants:
    """The tenants in the caller's reach."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    async def listing(
        self, op: Operation, page: PageRequest, wanted: TenantFilter
    ) -> Slice[Tenant]:
        """Newest first."""
        async with self._database.read() as db:
            return await repository.list_tenants(op, db, page, wanted)

    async def get(self, op: Operation, tenant_id: str) -> Tenant:
        """One. Raises TenantNotFound."""
        async with self._database.read() as db:
            found = await repository.tenant(op, db, tenant_id)
        if found is None:
            raise TenantNotFound
        return found

    async def create(self, op: Operation, name: str, partner_id: str | None) -> Tenant:
        """A new one, of the caller's partner unless a super-admin says which.

        Raises NameConflict, PartnerNotFound, PermissionDenied.
        """
        if op.user.role != Role.SUPER_ADMIN:
            if op.user.partner_id is None or partner_id not in (None, op.user.partner_id):
                raise PermissionDenied("You make tenants of your own partner only.")
            partner_id = op.user.partner_id

        async def add(db: Writer) -> Tenant:
            await _check_partner(op, db, partner_id)
            return await repository.add_tenant(op, db, name, partner_id)

        try:
            return await self._database.transaction(add)
        except IntegrityError:
            async with self._database.read() as db:  # an earlier attempt may have made it
                made = await repository.tenant(op, db, new_id("ten", op.token))
            if made is None:
                raise NameConflict from None
            return made

    async def change(self, op: Operation, tenant_id: str, values: dict[str, Any]) -> Tenant:
        """Change name, status or partner; a suspended tenant's calls are refused from then on.

        Raises TenantNotFound, NameConflict, PartnerNotFound, PermissionDenied (also for a tenant
        with users above the caller), ValidationFailed, LastSuperAdmin.
        """
        if "partner_id" in values and op.user.role != Role.SUPER_ADMIN:
            raise PermissionDenied.of_role(Role.SUPER_ADMIN)
        if values.get("status") == TenantStatus.SUSPENDED and tenant_id == op.user.tenant_id:
            raise ValidationFailed.of("status", "you cannot suspend your own tenant")

        async def change(db: Writer) -> Tenant | None:
            await _check_partner(op, db, values.get("partner_id"))
            if await repository.locked_tenant(op, db, tenant_id) is None:
                return None
            if "status" in values:
                await _check_status(op, db, tenant_id, values["status"])
            return await repository.change_tenant(op, db, tenant_id, values)

        try:
            changed = await self._database.transaction(change)
        except IntegrityError:
            raise NameConflict from None
        if changed is None:
            raise TenantNotFound
        self._authenticator.forget_tenant(tenant_id)
        return changed


async def _check_status(op: Operation, db: Writer, tenant_id: str, status: TenantStatus) -> None:
    """Nobody shuts out or lets in those above it, and not all super-admins are shut out."""
    roles = await repository.roles_in(op, db, tenant_id)
    for role in roles:
        check_role(op.user, role)
    if status is TenantStatus.SUSPENDED and Role.SUPER_ADMIN in roles:
        left = await repository.super_admins(op, db)
        if all(each.tenant_id == tenant_id for each in left):
            raise LastSuperAdmin


async def _check_partner(op: Operation, db: Writer, partner_id: str | None) -> None:
    if partner_id is not None and await repository.partner(op, db, partner_id) is None:
        raise PartnerNotFound
