"""Partners, tenants, users and modules as the API shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scaigrid.permissions.domain import Role
from scaigrid.tenancy.domain import TenantStatus, UserStatus


def _plain(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("must be printable and neither begin nor end with a space")
    return value


Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain)]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Subject = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_plain)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Partner(BaseModel):
    """Who brings tenants, and administers those."""

    id: str
    name: str
    created_at: datetime


class PartnerBody(_Body):
    """Body of `POST /v1/partners` and `PATCH /v1/partners/{id}`."""

    name: Name


class Tenant(BaseModel):
    """An organisation. All calls of a suspended one are refused."""

    id: str
    name: str
    partner_id: str | None
    status: TenantStatus
    created_at: datetime


class TenantCreate(_Body):
    """Body of `POST /v1/tenants`. A partner's administrators make tenants of their partner."""

    name: Name
    partner_id: Id | None = None


class TenantPatch(_Body):
    """Body of `PATCH /v1/tenants/{id}`: what is to change. Only a super-admin changes the partner."""

    name: Name | None = None
    status: TenantStatus | None = None
    partner_id: Id | None = None


class User(BaseModel):
    """A person or a program of one tenant. `subject` is the `sub` of its identity provider's tokens;
    all calls of a disabled one are refused."""

    id: str
    tenant_id: str
    name: str
    role: Role
    status: UserStatus
    subject: str | None
    created_at: datetime


class UserCreate(_Body):
    """Body of `POST /v1/users`. `tenant_id` is the caller's own unless it says otherwise; only a
    super-admin sets a `subject`."""

    name: Name
    role: Role = Role.TENANT_USER
    tenant_id: Id | None = None
    subject: Subject | None = None


class UserPatch(_Body):
    """Body of `PATCH /v1/users/{id}`: what is to change. A `subject` of null takes it away;
    only a super-admin changes it."""

    name: Name | None = None
    role: Role | None = None
    status: UserStatus | None = None
    subject: Subject | None = None


class ModuleState(BaseModel):
    """A module, and whether the tenant has it."""

    id: str
    title: str
    tenant_id: str
    enabled: bool
