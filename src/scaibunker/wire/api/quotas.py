"""Quota profiles, their assignments, and what is used of them. Source: the product contract, §9."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Cap = Annotated[int, Field(strict=True, ge=0, lt=1 << 31)] | None
"""The most there may be; null is no cap."""


def _plain(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("must be printable and neither begin nor end with a space")
    return value


Title = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain)]
Text = Annotated[str, Field(max_length=1024)]
Id = Annotated[str, Field(min_length=1, max_length=64)]


class QuotaTargetKind(StrEnum):
    """Whom a profile is assigned to."""

    USER = "user"
    GROUP = "group"


class QuotaMode(StrEnum):
    """How caps bound their target: a user by itself; a group's users together, or each of them."""

    INDIVIDUAL = "individual"
    SHARED = "shared"
    PER_USER = "per_user"


class QuotaCaps(BaseModel):
    """What a profile allows: in all, and of a single bunker. Millicores, MiB, devices."""

    max_concurrent_bunkers: Cap = None
    max_persistent_bunkers: Cap = None
    max_cpu_millicores: Cap = None
    max_memory_mb: Cap = None
    max_disk_mb: Cap = None
    max_gpu_count: Cap = None
    per_bunker_max_cpu: Cap = None
    per_bunker_max_memory: Cap = None
    per_bunker_max_disk: Cap = None
    per_bunker_max_gpu: Cap = None


class QuotaProfile(QuotaCaps):
    """A profile. Without a tenant it is a default of the platform: for whom no other applies."""

    id: str
    tenant_id: str | None
    name: str
    description: str
    created_at: datetime


class QuotaProfileCreate(QuotaCaps):
    """Body of `POST /quota-profiles`. Without `tenant_id` it is of the caller's own tenant; of the
    platform, if the caller may make defaults of the platform."""

    model_config = ConfigDict(extra="forbid")

    name: Title
    description: Text = ""
    tenant_id: Id | None = None


class QuotaProfileChange(QuotaCaps):
    """Body of `PATCH /quota-profiles/{id}`: what is not given stays; a cap of null is taken away.
    What is held already stays held."""

    model_config = ConfigDict(extra="forbid")

    name: Title | None = None
    description: Text | None = None


class QuotaAssignment(BaseModel):
    """That a profile applies to a user or to a group."""

    id: str
    profile_id: str
    tenant_id: str
    target_kind: QuotaTargetKind
    target_id: str
    mode: QuotaMode
    created_at: datetime


class QuotaAssignmentCreate(BaseModel):
    """Body of `POST /quota-profiles/{id}/assignments`. Without a mode a user's is `individual`, a
    group's `shared`."""

    model_config = ConfigDict(extra="forbid")

    target_kind: QuotaTargetKind
    target_id: Id
    mode: QuotaMode | None = None


class QuotaUsage(BaseModel):
    """What is held of a bucket. `name` is what the user or the group is called, null if it is gone;
    `cap` and `remaining` are null where nothing bounds it; `profiles` are those that bound it, beside
    the platform's maxima."""

    bucket: str
    kind: QuotaTargetKind
    id: str
    name: str | None
    profiles: list[str]
    current: dict[str, int]
    cap: dict[str, int | None]
    remaining: dict[str, int | None]
