"""Bunkers: what a caller asks for and what it is told. Source: the product contract, §4."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool


class BunkerStatus(StrEnum):
    """A bunker's state as its owner sees it."""

    PENDING = "pending"
    PROVISIONING = "provisioning"
    RUNNING = "running"
    PAUSED = "paused"
    SNAPSHOTTING = "snapshotting"
    TERMINATED = "terminated"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self in (BunkerStatus.TERMINATED, BunkerStatus.FAILED)


class LifecycleMode(StrEnum):
    """What happens to a bunker that is past its limits."""

    EPHEMERAL = "ephemeral"
    SESSION = "session"
    PERSISTENT = "persistent"


class NetworkProfile(StrEnum):
    """What a bunker may reach."""

    ISOLATED = "isolated"
    REGISTRY = "registry"
    ALLOWLISTED = "allowlisted"
    UNRESTRICTED = "unrestricted"
    TRANSIT = "transit"


class SessionType(StrEnum):
    """What kind of caller the bunker serves; for the caller's own bookkeeping."""

    STANDALONE = "standalone"
    SCAICORE = "scaicore"
    SCAIWAVE = "scaiwave"
    API = "api"


MAX_MAP_ENTRIES = 64
MAX_ENV_VALUE_BYTES = 8192


def _bounded_map(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MAX_MAP_ENTRIES:
        raise ValueError(f"at most {MAX_MAP_ENTRIES} entries, got {len(value)}")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_ENV_VALUE_BYTES:
        raise ValueError(f"at most {MAX_ENV_VALUE_BYTES} bytes")
    value.encode()  # a lone surrogate is not text; ValueError names the place
    return value


EnvKey = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
EnvValue = Annotated[str, AfterValidator(_no_nul)]
EnvMap = Annotated[dict[EnvKey, EnvValue], AfterValidator(_bounded_map)]
LabelKey = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$", max_length=63)
]
LabelValue = Annotated[str, Field(max_length=255), AfterValidator(_no_nul)]
LabelMap = Annotated[dict[LabelKey, LabelValue], AfterValidator(_bounded_map)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._ -]*[A-Za-z0-9])?$", max_length=128)]


class Interface(BaseModel):
    """One attachment to a bridge (`transit`)."""

    model_config = ConfigDict(extra="forbid")

    if_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,14}$")]
    bridge_name: Annotated[str, Field(min_length=1, max_length=63)]
    spoof_guard: StrictBool = True
    mac: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$")] | None = None


class BunkerCreate(BaseModel):
    """Body of `POST /bunkers`. A field that is left out means the documented default.

    `snapshot_kind`: how a bunker is made of a `full` snapshot; `disk` boots from its disk instead of going on
    where it stood, and may then have other sizes and another network profile. One that goes on has the `network_profile`
    of the snapshot's bunker, which need not be said.
    """

    model_config = ConfigDict(extra="forbid")

    image: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    snapshot_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    snapshot_kind: Literal["disk", "full"] | None = None
    lifecycle_mode: LifecycleMode = LifecycleMode.EPHEMERAL
    name: Name | None = None
    label_set: LabelMap = Field(default_factory=dict)
    env_vars: EnvMap = Field(default_factory=dict)
    network_profile: NetworkProfile = NetworkProfile.ISOLATED
    network_allowlist: list[str] | None = None
    interfaces: list[Interface] | None = None
    bandwidth_mbit: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    cpu_millicores: Annotated[int, Field(strict=True, ge=100)] | None = None
    memory_mb: Annotated[int, Field(strict=True, ge=64)] | None = None
    disk_mb: Annotated[int, Field(strict=True, ge=64)] | None = None
    gpu_count: Annotated[int, Field(strict=True, ge=0, le=16)] = 0
    gpu_type: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    max_lifetime_s: Annotated[int, Field(strict=True, ge=1, le=366 * 86_400)] | None = None
    idle_timeout_s: Annotated[int, Field(strict=True, ge=1, le=366 * 86_400)] | None = None
    session_type: SessionType = SessionType.STANDALONE
    session_ref: (
        Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_no_nul)] | None
    ) = None


class Bunker(BaseModel):
    """A bunker's record, every field with the value in force.

    Memory and disk in MiB, CPU in thousandths of a core, times in UTC. `status_reason` says why a
    bunker is in the state it is in, when there is something to say.
    """

    id: str
    tenant_id: str
    owner_user_id: str
    name: str | None
    status: BunkerStatus
    status_reason: str | None
    image: str | None
    image_id: str | None
    snapshot_id: str | None
    lifecycle_mode: LifecycleMode
    label_set: dict[str, str]
    env_vars: dict[str, str]
    network_profile: NetworkProfile
    network_allowlist: list[str] | None
    interfaces: list[Interface] | None
    bandwidth_mbit: int | None
    cpu_millicores: int
    memory_mb: int
    disk_mb: int
    gpu_count: int
    gpu_type: str | None
    max_lifetime_s: int | None
    idle_timeout_s: int | None
    session_type: SessionType
    session_ref: str | None
    worker_id: str | None
    created_at: datetime
    started_at: datetime | None
    terminated_at: datetime | None
    last_activity_at: datetime
    expires_at: datetime | None
    passivated: bool


class BunkerEvent(BaseModel):
    """One change of state, `GET /bunkers/{id}/events`. `passivated`, as the type: it sleeps now, and is
    `paused` as before; as a field: whether it does from then on."""

    type: Literal["status", "passivated"] = "status"
    bunker_id: str
    status: BunkerStatus
    previous: BunkerStatus | None
    passivated: bool = False
    reason: str | None
    at: datetime
