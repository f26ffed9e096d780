"""What may be asked of a bunker that is made of a snapshot. Pure rules over request and record.

Of its disk any bunker can be made that is large enough for it. Whose memory goes on is as it was: the same
sizes, the same network profile, which is the snapshot's unless another one is asked for.
"""

from scaibunker.controller.bunkers.domain import Shape, Source
from scaibunker.controller.bunkers.request import refuse_above
from scaibunker.controller.settings import LimitSettings
from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.controller.snapshots.errors import SnapshotNotReady
from scaibunker.wire.api.bunkers import BunkerCreate, NetworkProfile
from scaibunker.wire.api.snapshots import SnapshotKind
from scaigrid.errors import ValidationFailed, detail

_SIZES = ("cpu_millicores", "memory_mb", "disk_mb")


def source_of(body: BunkerCreate, snapshot: Snapshot) -> Source:
    """What the machine is made of, and how. Raises SnapshotNotReady, ValidationFailed."""
    if not snapshot.is_usable or snapshot.manifest_sha256 is None:
        reason = f": {snapshot.status_reason}" if snapshot.status_reason else ""
        raise SnapshotNotReady(
            f"The snapshot is {snapshot.status}{reason}.",
            details=[detail("snapshot_id", f"is {snapshot.status}", status=snapshot.status.value)],
        )
    kind = SnapshotKind(body.snapshot_kind) if body.snapshot_kind else snapshot.kind
    if kind is SnapshotKind.FULL and snapshot.kind is SnapshotKind.DISK:
        raise ValidationFailed.of(
            "snapshot_kind", "the snapshot has no memory: only disk is possible"
        )
    return Source(snapshot.id, kind, snapshot.manifest_sha256)


def may_inherit(body: BunkerCreate) -> bool:
    """Whether the network profile is left to the snapshot."""
    return "network_profile" not in body.model_fields_set and body.snapshot_kind != "disk"


def inherited(body: BunkerCreate, snapshot: Snapshot) -> BunkerCreate:
    """The request with what its memory goes on with, where nothing else is said."""
    if snapshot.kind is not SnapshotKind.FULL or snapshot.network_profile is NetworkProfile.TRANSIT:
        return body
    return body.model_copy(update={"network_profile": snapshot.network_profile})


def shape_of(
    body: BunkerCreate, snapshot: Snapshot, kind: SnapshotKind, maxima: LimitSettings
) -> Shape:
    """The sizes in force: what is asked for, else the snapshot's. Raises ValidationFailed for those that
    the snapshot does not fit."""
    had = {name: getattr(snapshot, name) for name in _SIZES}
    asked = {name: getattr(body, name) for name in _SIZES}
    faults = []
    if kind is SnapshotKind.FULL:
        is_bridged = NetworkProfile.TRANSIT in (body.network_profile, snapshot.network_profile)
        if is_bridged:
            message = "must be disk: interfaces on bridges are not what they were for its memory"
            faults.append(detail("snapshot_kind", message, required="disk"))
        faults += [
            detail(name, f"must be the snapshot's, {had[name]}", required=had[name])
            for name in _SIZES
            if asked[name] not in (None, had[name])
        ]
        if body.gpu_count:
            faults.append(detail("gpu_count", "a machine with memory has no GPUs", required=0))
        if not is_bridged and body.network_profile is not snapshot.network_profile:
            profile = snapshot.network_profile.value
            message = f"must be that of the snapshot's bunker, {profile}"
            faults.append(detail("network_profile", message, required=profile))
    elif asked["disk_mb"] is not None and asked["disk_mb"] < had["disk_mb"]:
        least = had["disk_mb"]
        faults.append(detail("disk_mb", f"must be at least the snapshot's, {least}", least=least))
    if faults:
        named = ", ".join(f"{fault['field']} {fault['message']}" for fault in faults)
        raise ValidationFailed(f"The snapshot does not fit: {named}.", details=faults)
    sizes = {name: asked[name] or had[name] for name in _SIZES}
    refuse_above({name: (sizes[name], getattr(maxima, f"platform_max_{name}")) for name in _SIZES})
    return Shape(**sizes, gpu_count=body.gpu_count, gpu_type=body.gpu_type)
