"""What a worker tells the controller: every interval, and at once when something changed."""

from pydantic import BaseModel, Field

from scaibunker.wire.worker.machines import ExecStatus, MachineStatus


class Capacity(BaseModel):
    """What the worker may give to bunkers in all, not what is free."""

    cpu_millicores: int
    memory_mb: int
    disk_mb: int
    gpus: dict[str, int] = Field(default_factory=dict)


class Heartbeat(BaseModel):
    """Body of `POST /v1/modules/scaibunker/heartbeat`.

    `machines` is the whole truth about this worker: one that is not named is not there.
    `finished_execs` are repeated until an answer acknowledges them.
    """

    worker_id: str
    name: str
    address: str
    protocol: int
    version: str
    acceleration: str
    network_profiles: list[str]
    capacity: Capacity
    machines: list[MachineStatus]
    finished_execs: list[ExecStatus] = Field(default_factory=list)
    cached_images: list[str] = Field(default_factory=list)


class HeartbeatAnswer(BaseModel):
    """`terminate` names machines that should not exist; the worker takes them down."""

    interval_s: float
    terminate: list[str] = Field(default_factory=list)
    acknowledged_execs: list[str] = Field(default_factory=list)
