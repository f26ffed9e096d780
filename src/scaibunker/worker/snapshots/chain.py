"""Which snapshots one that holds differences rests upon, each verified by the one before."""

from collections.abc import Sequence

from scaibunker.wire.worker.snapshots import DISK_PART, MAX_CHAIN, SnapshotManifest
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.snapshots.fetching import manifest_of
from scaibunker.worker.snapshots.store import SnapshotStore

MIB = 1024 * 1024


async def chain_of(store: SnapshotStore, manifest: SnapshotManifest) -> Sequence[SnapshotManifest]:
    """It and what it rests upon, the whole one last. Raises WorkerFault if that is too long, not there, or
    somebody else's."""
    chain = [manifest]
    while (base := chain[-1].base) is not None:
        if len(chain) > MAX_CHAIN:
            raise WorkerFault(f"the snapshot rests upon more than {MAX_CHAIN} others")
        below = await manifest_of(store, base.snapshot_id, base.manifest_sha256)
        _judge(below, base.snapshot_id, chain[-1])
        chain.append(below)
    return chain


def _judge(below: SnapshotManifest, snapshot_id: str, above: SnapshotManifest) -> None:
    disk = below.parts.get(DISK_PART)
    if below.snapshot_id != snapshot_id or below.tenant_id != above.tenant_id:
        raise WorkerFault("the snapshot rests upon another one than was meant")
    if (below.image_sha256, below.image_size) != (above.image_sha256, above.image_size):
        raise WorkerFault("the snapshot rests upon one of a bunker with another image")
    if disk is None or disk.unpacked_size != below.disk_mb * MIB or below.disk_mb > above.disk_mb:
        raise WorkerFault("the snapshot rests upon one whose disk does not fit")
