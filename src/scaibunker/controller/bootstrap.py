"""The first tenant, its four identities and the base images: what `scaibunker dev` starts from.

Run after the migrations. Running it again changes nothing but what an image's content changed.
"""

from collections.abc import Collection, Sequence
from types import MappingProxyType

from scaibunker.controller.images import repository as image_repository
from scaibunker.controller.images.domain import SeedImage
from scaibunker.controller.permissions import Key
from scaigrid.auth import repository as key_repository
from scaigrid.auth.service import issue
from scaigrid.clock import SystemClock
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation, system_operation
from scaigrid.permissions import assignment
from scaigrid.permissions import repository as roles
from scaigrid.permissions.domain import Role
from scaigrid.settings import DatabaseSettings
from scaigrid.tenancy import repository as tenancy
from scaigrid.tenancy.domain import User

__all__ = ["SeedImage", "bootstrap"]

TENANT = "dev"
KEY_NAME = "dev"
IDENTITIES = MappingProxyType(
    {
        "super_admin": Role.SUPER_ADMIN,
        "tenant_admin": Role.TENANT_ADMIN,
        "user": Role.TENANT_USER,
        "viewer": Role.TENANT_VIEWER,
    }
)
USER_ROLE = "dev-user"
USER_PERMISSIONS = (
    Key.CREATE,
    Key.CREATE_SESSION,
    Key.CREATE_PERSISTENT,
    Key.EXECUTE,
    Key.SHELL,
    Key.FILES,
    Key.ROOT,
    Key.NETWORK_REGISTRY,
    Key.NETWORK_ALLOWLISTED,
)


async def bootstrap(
    settings: DatabaseSettings, images: Sequence[SeedImage], reissue: Collection[str] = ()
) -> dict[str, str]:
    """Make what is missing, and a new key for each identity in `reissue`.

    Returns `tenant_id`, and under `super_admin`, `tenant_admin`, `user` and `viewer` the API keys
    that were made by this call: a key is made for an identity that has no good one, and cannot be
    read again later.
    """
    database = Database(settings)
    op = system_operation("bootstrap", SystemClock())
    try:
        async with database.write() as db:
            made = await _identities(op, db, reissue)
            for image in images:
                await image_repository.seed(op, db, image)
    finally:
        await database.close()
    return made


async def _identities(op: Operation, db: Writer, reissue: Collection[str]) -> dict[str, str]:
    tenant = await tenancy.tenant_by_name(op, db, TENANT)
    tenant = tenant or await tenancy.add_tenant(op, db, TENANT)
    made = {"tenant_id": tenant.id}
    for name, role in IDENTITIES.items():
        user = await tenancy.user_by_name(op, db, tenant.id, name)
        user = user or await tenancy.add_user(op, db, tenant.id, name, role)
        if role is Role.TENANT_USER:
            await _grant(op, db, user)
        if name in reissue or not await key_repository.is_live(op, db, user.id, KEY_NAME):
            fresh = system_operation("bootstrap", op.clock)
            _, secret = await issue(fresh, db, tenant_id=tenant.id, user_id=user.id, name=KEY_NAME)
            made[name] = secret
    return made


async def _grant(op: Operation, db: Writer, user: User) -> None:
    keys = [key.value for key in USER_PERMISSIONS]
    role_id = await roles.set_custom_role(op, db, user.tenant_id, USER_ROLE, keys)
    await assignment.give(op, db, role_id, user_id=user.id)
