"""Tenants and the users in them."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation: the wall between those who do not know each other."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person or a program of exactly one tenant. `role` is a `permissions.domain.Role`."""

    id: str
    tenant_id: str
    name: str
    role: str
    created_at: datetime
