"""Profiles, whom they are assigned to, and what is counted against them. Source: the product
contract, §9.

What is counted is a *bucket*: all that a user holds, or all that is held on behalf of a group that
shares one allowance. Several profiles may bound one bucket; it is counted once, and the smallest cap
holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaigrid.errors import detail


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


_UNITS: Mapping[Resource, str] = {
    Resource.CONCURRENT_BUNKERS: "bunkers",
    Resource.PERSISTENT_BUNKERS: "persistent bunkers",
    Resource.CPU_MILLICORES: "millicores of CPU",
    Resource.MEMORY_MB: "MiB of memory",
    Resource.DISK_MB: "MiB of disk",
    Resource.GPU_COUNT: "GPUs",
}
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


@dataclass(frozen=True, slots=True)
class Cap:
    """The smallest cap of a bucket on a resource, and the profile that says so."""

    most: int
    profile_id: str
    profile_name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a bunker takes, of each of its buckets the same."""

    bunker_id: str
    amounts: Amounts
    buckets: Mapping[str, Mapping[Resource, Cap]]

    def lines(self) -> list[tuple[str, Resource, int, Cap | None]]:
        """What is counted: bucket, resource, how much of it, and the cap if there is one."""
        return [
            (bucket, resource, amount, caps.get(resource))
            for bucket, caps in self.buckets.items()
            for resource, amount in self.amounts.items()
            if amount
        ]


def amounts_of(shape: Shape, *, persistent: bool) -> dict[Resource, int]:
    """What a bunker that is not at its end holds."""
    return {
        Resource.CONCURRENT_BUNKERS: 1,
        Resource.PERSISTENT_BUNKERS: int(persistent),
        Resource.CPU_MILLICORES: shape.cpu_millicores,
        Resource.MEMORY_MB: shape.memory_mb,
        Resource.DISK_MB: shape.disk_mb,
        Resource.GPU_COUNT: shape.gpu_count,
    }


KEPT_ASLEEP = (Resource.PERSISTENT_BUNKERS, Resource.DISK_MB)
"""What a passivated bunker goes on holding."""


def kept_asleep(bunker_id: str, held: Mapping[str, Amounts]) -> Claim:
    """What a bunker that holds this holds when it is passivated."""
    amounts = {r: max((each.get(r, 0) for each in held.values()), default=0) for r in KEPT_ASLEEP}
    return Claim(bunker_id, amounts, {bucket: {} for bucket in held})


def claim(bunker_id: str, owner_id: str, amounts: Amounts, applied: Iterable[Applied]) -> Claim:
    """What a bunker claims of its owner's allowances. What the owner holds is always counted, so
    that a profile that comes later counts it too. Raises BunkerQuotaExceeded for more of anything
    than a single bunker may have."""
    buckets: dict[str, dict[Resource, Cap]] = {user_bucket(owner_id): {}}
    for each in applied:
        profile = each.profile
        for resource, most in profile.per_bunker.items():
            if amounts.get(resource, 0) > most:
                raise _too_large(
                    bunker_id, resource, amounts[resource], Cap(most, profile.id, profile.name)
                )
        caps = buckets.setdefault(each.bucket, {})
        for resource, most in profile.caps.items():
            known = caps.get(resource)
            if known is None or most < known.most:
                caps[resource] = Cap(most, profile.id, profile.name)
    return Claim(bunker_id, amounts, buckets)


def exceeded(
    bucket: str, resource: Resource, current: int, requested: int, cap: Cap
) -> BunkerQuotaExceeded:
    """The refusal, with everything that a caller needs to see why."""
    message = f"{current} in use and {requested} asked for, of {cap.most} {_UNITS[resource]}"
    return _refusal(message, bucket, resource, current, requested, cap)


def _too_large(bunker_id: str, resource: Resource, requested: int, cap: Cap) -> BunkerQuotaExceeded:
    message = f"a single bunker has {cap.most} {_UNITS[resource]} at most, {requested} asked for"
    error = _refusal(message, f"bunker:{bunker_id}", resource, 0, requested, cap)
    error.hint = "Ask for less, or have an administrator raise the quota."
    return error


def _refusal(
    message: str, bucket: str, resource: Resource, current: int, requested: int, cap: Cap
) -> BunkerQuotaExceeded:
    return BunkerQuotaExceeded(
        f"Quota {cap.profile_name}: {message}.",
        details=[
            detail(
                resource.value,
                message,
                profile=cap.profile_id,
                profile_name=cap.profile_name,
                bucket=bucket,
                resource=resource.value,
                current=current,
                requested=requested,
                cap=cap.most,
            )
        ],
    )


def platform_maximum(concurrent: int | None, persistent: int | None) -> Profile | None:
    """The operator's bounds of what any user has, as a profile; None if there are none."""
    if concurrent is None and persistent is None:
        return None
    return Profile(
        id="platform",
        tenant_id=None,
        name="platform maximum",
        description="",
        max_concurrent_bunkers=concurrent,
        max_persistent_bunkers=persistent,
        max_cpu_millicores=None,
        max_memory_mb=None,
        max_disk_mb=None,
        max_gpu_count=None,
        per_bunker_max_cpu=None,
        per_bunker_max_memory=None,
        per_bunker_max_disk=None,
        per_bunker_max_gpu=None,
        created_at=datetime(1970, 1, 1, tzinfo=UTC),
    )
