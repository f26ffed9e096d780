"""Groups as the API shows them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from scaigrid.tenancy.models import Id, Name


class Group(BaseModel):
    """Users under a name. What a group's custom roles give, the groups below it have too."""

    id: str
    tenant_id: str
    parent_id: str | None
    name: str
    created_at: datetime


class GroupCreate(BaseModel):
    """Body of `POST /v1/groups`: in the caller's own tenant unless it names one that it reaches."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    parent_id: Id | None = None
    tenant_id: Id | None = None


class GroupChange(BaseModel):
    """Body of `PATCH /v1/groups/{group_id}`: what is not given stays; a `parent_id` of null makes
    it one of the highest."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    parent_id: Id | None = None


class Membership(BaseModel):
    """That a user is, or was, in a group."""

    group_id: str
    user_id: str
    tenant_id: str
