"""What a worker tells the controller: every interval, and at once when something changed."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from scaibunker.wire.bounds import Amount, Name, Reference, Short, WorkerId
from scaibunker.wire.worker.bridges import MAX_BRIDGES
from scaibunker.wire.worker.gateway import GatewayReport
from scaibunker.wire.worker.machines import ExecStatus, MachineStatus
from scaibunker.wire.worker.network import (
    MAX_REGISTRY_HOSTS,
    MAX_WORKER_ADDRESSES,
    AddressText,
    BandwidthMbit,
    HostPattern,
)
from scaibunker.wire.worker.snapshots import SnapshotStatus
from scaibunker.wire.worker.templates import MAX_TEMPLATES, TemplateShape
from scaibunker.wire.worker.vicinity import Digest, VicinityChange


class Capacity(BaseModel):
    """What the worker may give to bunkers in all, not what is free."""

    cpu_millicores: Amount
    memory_mb: Amount
    disk_mb: Amount
    gpus: Annotated[dict[Short, Amount], Field(max_length=64)] = Field(default_factory=dict)


class Introduction(BaseModel):
    """Who reports, and which version it speaks: has this form in every version of the protocol."""

    worker_id: WorkerId
    protocol: Amount
    version: Short


class Heartbeat(Introduction):
    """Body of `POST /v1/modules/scaibunker/heartbeat`.

    `machines` is the whole truth about this worker: one that is not named is not there.
    `finished_execs` are repeated until an answer acknowledges them. `snapshots` are those under way and
    the last that ended. `templates` are of what machines can be made here without a boot. `registry_hosts`: the
    patterns that the profile `registry` permits here. `default_bandwidth_mbit`: of a machine whose order names none;
    None from workers that limit nothing. `addresses`: those of this host, which no bunker of any worker may reach. `vicinity`
    names the list of all such addresses that it has; None from workers that keep none.
    `bridges` are all that it has, None if it says nothing of them. `gateway`: what it has done, for metrics.
    """

    name: Name
    address: Annotated[str, StringConstraints(max_length=512)]
    acceleration: Short
    network_profiles: Annotated[list[Short], Field(max_length=64)]
    capacity: Capacity
    machines: list[MachineStatus]
    finished_execs: list[ExecStatus] = Field(default_factory=list)
    snapshots: list[SnapshotStatus] = Field(default_factory=list)
    cached_images: list[Name] = Field(default_factory=list)
    templates: Annotated[list[TemplateShape], Field(max_length=MAX_TEMPLATES)] = Field(
        default_factory=list
    )
    registry_hosts: Annotated[list[HostPattern], Field(max_length=MAX_REGISTRY_HOSTS)] = Field(
        default_factory=list
    )
    default_bandwidth_mbit: BandwidthMbit | None = None
    addresses: Annotated[list[AddressText], Field(max_length=MAX_WORKER_ADDRESSES)] = Field(
        default_factory=list
    )
    vicinity: Digest | None = None
    bridges: Annotated[list[Reference], Field(max_length=MAX_BRIDGES)] | None = None
    gateway: GatewayReport | None = None


class HeartbeatAnswer(BaseModel):
    """`terminate` names machines that should not exist; the worker takes them down, unless it does
    not understand the answer's `protocol` (1 if it names none). `vicinity`: how the list of addresses that no bunker
    may reach differs from the worker's; None if it does not, or is not known."""

    interval_s: float
    protocol: int = 1
    terminate: list[str] = Field(default_factory=list)
    acknowledged_execs: list[str] = Field(default_factory=list)
    vicinity: VicinityChange | None = None
