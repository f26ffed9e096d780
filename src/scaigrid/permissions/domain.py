"""Roles and permission keys, and which role has which key."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a user is to the platform. Custom roles add single keys to it."""

    SUPER_ADMIN = "super_admin"  # every key
    PARTNER_ADMIN = "partner_admin"  # every key of its scope, none that reaches the platform
    TENANT_ADMIN = "tenant_admin"  # likewise
    TENANT_USER = "tenant_user"  # none by default
    TENANT_VIEWER = "tenant_viewer"  # none


_RANK = {
    Role.TENANT_VIEWER: 0,
    Role.TENANT_USER: 1,
    Role.TENANT_ADMIN: 2,
    Role.PARTNER_ADMIN: 3,
    Role.SUPER_ADMIN: 4,
}


def may_manage(caller: str, other: str) -> bool:
    """Whether a caller of one role may give another role, or change a user who has it: none that
    is above its own."""
    return _RANK[Role(other)] <= _RANK[Role(caller)]


ADMINS = frozenset({Role.PARTNER_ADMIN, Role.TENANT_ADMIN})


@dataclass(frozen=True, slots=True)
class PermissionKey:
    """One key, as its module declares it. A `platform` key is for super-admins alone."""

    key: str
    grants: str
    platform: bool = False


@dataclass(frozen=True, slots=True)
class CustomRole:
    """Keys under a name, of one tenant: for its users and groups."""

    id: str
    tenant_id: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime


class Permissions:
    """All keys that the loaded modules declare; `grantable` are those that a custom role can
    carry and a user can be given."""

    def __init__(self, keys: Iterable[PermissionKey]) -> None:
        self.keys = tuple(keys)
        self.all = frozenset(key.key for key in self.keys)
        self.grantable = frozenset(key.key for key in self.keys if not key.platform)

    def of(self, role: str, custom: Iterable[str] = ()) -> frozenset[str]:
        """The keys of a user: those of its role, and those of its custom roles.

        A custom role never gives a platform key, and a key that no module declares any more
        means nothing.
        """
        if role == Role.SUPER_ADMIN:
            return self.all
        if role in ADMINS:
            return self.grantable
        return self.grantable.intersection(custom)
