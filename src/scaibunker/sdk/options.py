"""What calls with many options take, written once. Fields left out get the API's own defaults."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from scaibunker.wire.api.bunkers import Interface, LifecycleMode, NetworkProfile, SessionType
from scaibunker.wire.api.execs import User
from scaibunker.wire.api.snapshots import SnapshotKind


class BunkerOptions(TypedDict, total=False):
    """What a bunker may be created with; exactly one of `image` and `snapshot_id`. With the `snapshot_kind`
    `disk` a `full` snapshot is booted from its disk, instead of going on where it stood.

    CPU in thousandths of a core, memory and disk in MiB, times in seconds.
    """

    image: str | None
    snapshot_id: str | None
    snapshot_kind: SnapshotKind | str | None
    lifecycle_mode: LifecycleMode | str
    name: str | None
    label_set: Mapping[str, str]
    env_vars: Mapping[str, str]
    network_profile: NetworkProfile | str
    network_allowlist: Sequence[str] | None
    interfaces: Sequence[Interface] | None
    bandwidth_mbit: int | None
    cpu_millicores: int | None
    memory_mb: int | None
    disk_mb: int | None
    gpu_count: int
    gpu_type: str | None
    max_lifetime_s: int | None
    idle_timeout_s: int | None
    session_type: SessionType | str
    session_ref: str | None


class ExecOptions(TypedDict, total=False):
    """What a command may be run with.

    `timeout_s` seconds until the whole process group is killed (60); `cwd` absolute (the user's
    home); `user` `bunker` or `root`; `stdin` text or bytes, 16 MiB at most.
    """

    timeout_s: float
    env: Mapping[str, str]
    cwd: str | None
    user: User
    stdin: str | bytes | None


class QuotaCapOptions(TypedDict, total=False):
    """Caps, in all and of a single bunker: millicores, MiB, devices. None is no cap."""

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


class QuotaProfileOptions(QuotaCapOptions, total=False):
    """What a quota profile may be made with.

    Without `tenant_id` it is of the caller's own tenant; of the platform (as with None), if the
    caller may make defaults of the platform.
    """

    description: str
    tenant_id: str | None


class QuotaProfileChanges(QuotaCapOptions, total=False):
    """What of a quota profile may be changed."""

    name: str
    description: str


class AuditFilter(TypedDict, total=False):
    """Which entries of the audit log to read; all that are given must match.

    `actor` is a user's id, `action` an operation's id, `outcome` `success`, `refused`, `aborted` or
    `failed`; from `since` on, and before `until`. A time without a zone is UTC.
    """

    actor: str | None
    action: str | None
    outcome: str | None
    resource_type: str | None
    resource_id: str | None
    status: int | None
    code: str | None
    address: str | None
    request_id: str | None
    tenant_id: str | None
    since: datetime | None
    until: datetime | None
