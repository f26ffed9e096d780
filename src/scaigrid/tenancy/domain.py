"""Partners, their tenants, and the users in them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TenantStatus(StrEnum):
    """Whether a tenant's callers are let in."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # every call is refused


class UserStatus(StrEnum):
    """Whether a user is let in."""

    ACTIVE = "active"
    DISABLED = "disabled"  # every call is refused


@dataclass(frozen=True, slots=True)
class Partner:
    """Who brings tenants, and administers those."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation: the wall between those who do not know each other."""

    id: str
    name: str
    partner_id: str | None
    status: TenantStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person or a program of exactly one tenant. `role` is a `permissions.domain.Role`;
    `subject` is the `sub` of the identity provider's tokens for it."""

    id: str
    tenant_id: str
    name: str
    role: str
    status: UserStatus
    subject: str | None
    created_at: datetime
