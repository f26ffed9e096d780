"""From a user's id to the caller that it is: its tenant, its permissions, its modules."""

from scaigrid.db import Database
from scaigrid.errors import GridError, TenantSuspended, TokenInvalid, UserDisabled
from scaigrid.operation import Caller, Operation
from scaigrid.permissions.domain import Permissions
from scaigrid.permissions.repository import custom_permissions
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.domain import Tenant, TenantStatus, User, UserStatus


class Principals:
    """Reads users as callers."""

    def __init__(self, database: Database, permissions: Permissions) -> None:
        self._database = database
        self._permissions = permissions

    async def caller(self, op: Operation, user_id: str, credential_id: str) -> Caller:
        """The user as a caller. Raises TokenInvalid if there is none."""
        async with self._database.read() as db:
            user = await tenancy.user(op, db, user_id)
            tenant = await tenancy.tenant(op, db, user.tenant_id) if user else None
            if user is None or tenant is None:
                raise TokenInvalid
            custom = await custom_permissions(op, db, user.id)
            disabled = await tenancy.disabled_modules(op, db, tenant.id)
        return Caller(
            user_id=user.id,
            tenant_id=tenant.id,
            name=user.name,
            role=user.role,
            permissions=self._permissions.of(user.role, custom),
            partner_id=tenant.partner_id,
            disabled_modules=disabled,
            credential_id=credential_id,
            barred=_bar(user, tenant),
        )


def _bar(user: User, tenant: Tenant) -> type[GridError] | None:
    if tenant.status is not TenantStatus.ACTIVE:
        return TenantSuspended
    return UserDisabled if user.status is not UserStatus.ACTIVE else None
