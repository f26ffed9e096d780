"""Profiles, whom they are assigned to, and what is counted against them. Source: the product
contract, §9.

What is counted is a *bucket*: all that a user holds, or all that is held on behalf of a group that
shares one allowance. Several profiles may bound one bucket; it is counted once, and the smallest cap
holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TargetKind(StrEnum):
    """Whom a profile is assigned to."""

    USER = "user"
    GROUP = "group"


class Mode(StrEnum):
    """How the caps of a profile bound its target."""

    INDIVIDUAL = "individual"  # of a user: what that user holds
    SHARED = "shared"  # of a group: what all its users hold together
    PER_USER = "per_user"  # of a group: what each of its users holds


MODES: Mapping[TargetKind, tuple[Mode, ...]] = {
    TargetKind.USER: (Mode.INDIVIDUAL,),
    TargetKind.GROUP: (Mode.SHARED, Mode.PER_USER),
}


class Resource(StrEnum):
    """What is counted, by the last part of a counter's name."""

    CONCURRENT_BUNKERS = "concurrent_bunkers"
    PERSISTENT_BUNKERS = "persistent_bunkers"
    CPU_MILLICORES = "cpu_millicores"
    MEMORY_MB = "memory_mb"
    DISK_MB = "disk_mb"
    GPU_COUNT = "gpu_count"


Amounts = Mapping[Resource, int]
"""How much of each resource; one that is not named is 0, or, of caps, without a cap."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Caps; None is no cap. `tenant_id` None: a default of the platform, for whom no other profile
    applies to. Millicores, MiB, devices."""

    id: str
    tenant_id: str | None
    name: str
    description: str
    max_concurrent_bunkers: int | None
    max_persistent_bunkers: int | None
    max_cpu_millicores: int | None
    max_memory_mb: int | None
    max_disk_mb: int | None
    max_gpu_count: int | None
    per_bunker_max_cpu: int | None
    per_bunker_max_memory: int | None
    per_bunker_max_disk: int | None
    per_bunker_max_gpu: int | None
    created_at: datetime

    @property
    def caps(self) -> dict[Resource, int]:
        """The caps that a bucket of this profile has."""
        named = {resource: getattr(self, f"max_{resource.value}") for resource in Resource}
        return {resource: cap for resource, cap in named.items() if cap is not None}

    @property
    def per_bunker(self) -> dict[Resource, int]:
        """The caps that each single bunker has."""
        named = {
            Resource.CPU_MILLICORES: self.per_bunker_max_cpu,
            Resource.MEMORY_MB: self.per_bunker_max_memory,
            Resource.DISK_MB: self.per_bunker_max_disk,
            Resource.GPU_COUNT: self.per_bunker_max_gpu,
        }
        return {resource: cap for resource, cap in named.items() if cap is not None}


@dataclass(frozen=True, slots=True)
class Assignment:
    """That a profile applies to a user or a group; there is one for each target. `tenant_id` is the
    target's."""

    id: str
    tenant_id: str
    profile_id: str
    target_kind: TargetKind
    target_id: str
    mode: Mode
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """A profile that bounds a bucket."""

    profile: Profile
    bucket: str


def user_bucket(user_id: str) -> str:
    """What a user holds."""
    return f"user:{user_id}"


def group_bucket(group_id: str) -> str:
    """What is held on behalf of a group."""
    return f"group:{group_id}"
