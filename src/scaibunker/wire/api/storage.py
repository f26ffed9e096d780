"""Objects of the storage proxy, and capabilities for it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

StorageMethod = Literal["PUT", "GET", "HEAD", "DELETE"]


class StoredObject(BaseModel):
    """An object that has been stored, whole."""

    key: str
    size: int
    sha256: str
    etag: str | None


class DeletedObject(BaseModel):
    """There is no such object now; whether there was one is not said."""

    key: str
    deleted: bool = True


class CapabilityRequest(BaseModel):
    """What a capability is to allow."""

    model_config = ConfigDict(extra="forbid")

    prefix: Annotated[str, Field(min_length=1, max_length=901)]
    """Keys below it; without a slash at its end, the object of that name too. Whole segments."""

    methods: Annotated[list[StorageMethod], Field(min_length=1, max_length=4)]
    """`GET` stands for `HEAD` too."""

    max_bytes: Annotated[int, Field(ge=0, le=1 << 50)] | None = None
    """Size of what is stored by one PUT; null: as much as the store takes."""

    expires_in_s: Annotated[int, Field(ge=1, le=604_800)] = 900
    """How long it is good; the deployment may allow less."""


class IssuedCapability(BaseModel):
    """A capability. `capability` is shown once: the bearer token of `/storage/{key}`."""

    id: str
    capability: str
    prefix: str
    methods: list[StorageMethod]
    max_bytes: int
    tenant_id: str
    expires_at: datetime
