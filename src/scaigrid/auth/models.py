"""Callers and keys as the API shows them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from scaigrid.tenancy.models import Id, Name


class Me(BaseModel):
    """`GET /v1/me`. `permissions` are the keys that the caller holds, roles resolved."""

    user_id: str
    tenant_id: str
    name: str
    role: str
    permissions: list[str]


class ApiKeyCreate(BaseModel):
    """Body of `POST /v1/api-keys`. An administrator may name another user in its reach."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    expires_at: datetime | None = None
    user_id: Id | None = None


class ApiKey(BaseModel):
    """A key as it is listed: never the secret, only its first characters."""

    id: str
    name: str
    prefix: str
    user_id: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class ApiKeyCreated(ApiKey):
    """The one answer that has the secret."""

    key: str
