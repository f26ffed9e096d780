"""Custom roles as the API shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scaigrid.tenancy.models import Id, Name

Permission = Annotated[str, Field(min_length=1, max_length=128)]
Keys = Annotated[list[Permission], Field(max_length=256)]


class CustomRole(BaseModel):
    """Permission keys under a name, of one tenant: for its users and groups."""

    id: str
    tenant_id: str
    name: str
    permissions: list[str]
    created_at: datetime


class CustomRoleCreate(BaseModel):
    """Body of `POST /v1/iam/custom-roles`: in the caller's own tenant unless it names one that it
    reaches."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    permissions: Keys = Field(default_factory=list)
    tenant_id: Id | None = None


class CustomRoleChange(BaseModel):
    """Body of `PATCH /v1/iam/custom-roles/{role_id}`: what is not given stays; `permissions` are
    all that it carries from then on."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    permissions: Keys | None = None


class Assignment(BaseModel):
    """That a user or a group has, or had, a custom role."""

    role_id: str
    tenant_id: str
    user_id: str | None = None
    group_id: str | None = None


class UserPermissions(BaseModel):
    """`permissions` are a user's own; `effective` is all that it holds: by its role, by itself,
    from custom roles, and from its groups."""

    user_id: str
    tenant_id: str
    permissions: list[str]
    effective: list[str]


class UserPermissionsChange(BaseModel):
    """Body of `PUT /v1/users/{user_id}/permissions`: exactly these."""

    model_config = ConfigDict(extra="forbid")

    permissions: Keys
