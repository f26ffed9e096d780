"""The first super-admin of a new installation, whose key the operator brings along."""

from pydantic import SecretStr

from scaigrid.auth.service import issue
from scaigrid.clock import SystemClock
from scaigrid.db import Database, Writer
from scaigrid.operation import system_operation
from scaigrid.permissions.domain import Role
from scaigrid.tenancy import repository as tenancy

TENANT = "platform"
USER = "admin"


async def admit(database: Database, key: SecretStr) -> bool:
    """Make a tenant, a super-admin in it and this key for it, unless there is a super-admin who is
    let in, or there was this one. Returns whether they were made. Run after the migrations."""
    op = system_operation("first_admin", SystemClock())

    async def work(db: Writer) -> bool:
        if await tenancy.super_admins(op, db):
            return False
        tenant = await tenancy.tenant_by_name(op, db, TENANT)
        tenant = tenant or await tenancy.add_tenant(op, db, TENANT)
        if await tenancy.user_by_name(op, db, tenant.id, USER) is not None:
            return False
        user = await tenancy.add_user(op, db, tenant.id, USER, Role.SUPER_ADMIN)
        secret = key.get_secret_value()
        await issue(op, db, tenant_id=tenant.id, user_id=user.id, name="first", secret=secret)
        return True

    return await database.upsert(work)
