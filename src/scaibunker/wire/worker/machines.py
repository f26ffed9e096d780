"""Machines as the controller orders them and as the worker reports them."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.bounds import Count, Reference, Short
from scaibunker.wire.guest.execs import ExecExit
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.wire.worker.snapshots import SnapshotSource


class MachineState(StrEnum):
    """What a worker sees of a machine. The user's `status` is made from this and the row."""

    BUILDING = "building"  # its steps are being done, or the guest is booting
    RUNNING = "running"  # the agent answers and the identity is applied
    PAUSED = "paused"  # frozen in place, memory kept
    STOPPING = "stopping"  # being taken down
    FAILED = "failed"  # its VMM died or a step failed; `reason` says why; resources given back


class MachineSpec(BaseModel):
    """Body of `PUT /v1/machines/{bunker_id}`: all that a worker needs to build the machine.

    `network` is left out with the profile `isolated`, and `snapshot` where there is none: an older worker
    would refuse them.
    """

    model_config = ConfigDict(extra="forbid")

    bunker_id: str
    tenant_id: str
    image_sha256: str
    image_size: Annotated[int, Field(ge=1)]
    cpu_millicores: Annotated[int, Field(ge=100, le=1_000_000)]
    memory_mb: Annotated[int, Field(ge=64, le=16 * 1024 * 1024)]
    disk_mb: Annotated[int, Field(ge=64, le=1024 * 1024 * 1024)]
    network: NetworkOrder | None = None
    hostname: str
    env: dict[str, str] = Field(default_factory=dict)
    snapshot: SnapshotSource | None = None

    @field_validator("network")
    @classmethod
    def _is_left_out(cls, network: NetworkOrder | None) -> NetworkOrder | None:
        if network is not None and network.profile is NetworkProfile.ISOLATED:
            raise ValueError("is left out for a machine without a network")
        return network


Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class MachineTimings(BaseModel):
    """Milliseconds since the order arrived, for each phase that has ended."""

    vmm_started_ms: Milliseconds | None = None
    agent_ready_ms: Milliseconds | None = None
    running_ms: Milliseconds | None = None


class MachineStatus(BaseModel):
    """A worker's view of one machine.

    `reason_code` says what sort of thing `reason` is, where more follows from it than that the machine failed.
    `egress_bytes` is what it has sent since it was built; `incarnation` names that building, since the
    count begins anew with the next. A machine without a network device has sent nothing. `start` is what it was
    made of: `boot`, `snapshot` or `template`.
    """

    bunker_id: Reference
    state: MachineState
    reason: str | None = None
    reason_code: Short | None = None
    console_tail: str | None = None
    timings: MachineTimings = Field(default_factory=MachineTimings)
    egress_bytes: Count = 0
    incarnation: Annotated[str, Field(max_length=64)] = ""
    start: Annotated[str, Field(max_length=64)] = ""


class PowerRequest(BaseModel):
    """Body of `PUT /v1/machines/{bunker_id}/power`."""

    state: Literal["running", "paused"]


class ExecStatus(BaseModel):
    """A spooled command, `GET /v1/machines/{bunker_id}/execs/{exec_id}`."""

    bunker_id: Reference
    exec_id: Reference
    running: bool
    exit: ExecExit | None = None
    error: str | None = None
    stdout_bytes: Count = 0
    stderr_bytes: Count = 0
    truncated: bool = False
    stdout_preview: str = ""


class WorkerError(BaseModel):
    """Body of every answer with a status of 400 or more. `field`: what of the request is at fault."""

    code: str
    message: str
    field: str | None = None
