"""What snapshots leave in object storage, and when it can go."""

import structlog

from scaibunker.controller.snapshots import repository
from scaibunker.controller.snapshots.domain import Need, Snapshot
from scaibunker.controller.snapshots.stored import StoredSnapshots
from scaibunker.storage.errors import StoreError
from scaibunker.wire.api.snapshots import SnapshotKind, SnapshotStatus
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)


class Remains:
    """Clears what nobody needs any more.

    No new bunker and no new snapshot can come to depend on one that is deleted, because both hold its row
    when they say so; but for snapshots of the bunker that slept in it, and that names it until then: what depends
    on it only becomes less.
    """

    def __init__(self, database: Database, stored: StoredSnapshots) -> None:
        self._database = database
        self._stored = stored

    async def clear(self, op: Operation, snapshot: Snapshot) -> bool:
        """Delete the objects of a snapshot that has failed or is deleted, and of a deleted one the row; then
        what it rested upon. Returns whether all of its own that was to go is gone; if not, try again later."""
        if snapshot.status is SnapshotStatus.CREATING:
            return False  # its worker may be writing
        is_kept = snapshot.status is SnapshotStatus.READY or snapshot.cleared_at is not None
        if is_kept and snapshot.deleted_at is None:
            return True
        cleared: Snapshot | None = snapshot
        while cleared is not None and await self._cleared(op, cleared):
            cleared = await self._below(op, cleared)
        return cleared is not snapshot

    async def _cleared(self, op: Operation, snapshot: Snapshot) -> bool:
        if snapshot.cleared_at is None:
            async with self._database.read() as db:
                need = await repository.need(op, db, snapshot.id)
            if not await self._removed(op, snapshot, need):
                return False

        async def work(db: Writer) -> None:
            if snapshot.deleted_at is not None:
                await repository.remove(op, db, snapshot.id)
            else:
                await repository.change(op, db, snapshot, {"cleared_at": op.now()})

        await self._database.transaction(work)
        log.info("snapshot cleared", snapshot_id=snapshot.id)
        return True

    async def _below(self, op: Operation, snapshot: Snapshot) -> Snapshot | None:
        """What one rested upon that is cleared, if that is deleted: perhaps it waited for nothing else."""
        if snapshot.base_snapshot_id is None:
            return None
        async with self._database.read() as db:
            below = await repository.find(op, db, snapshot.base_snapshot_id)
        if below is None or below.deleted_at is None or below.status is SnapshotStatus.CREATING:
            return None
        return below

    async def _removed(self, op: Operation, snapshot: Snapshot, need: Need) -> bool:
        """Delete what nothing needs; returns whether that is all. Whose memory is gone is one of the disk."""
        try:
            match need:
                case Need.NOTHING:
                    await self._stored.remove(snapshot.id)
                    return True
                case Need.DISK:  # one that is called one of the disk may have had memory
                    await self._stored.remove_memory(snapshot.id)
                    async with self._database.write() as db:
                        disk = {"kind": SnapshotKind.DISK.value}
                        await repository.change(op, db, snapshot, disk)
        except StoreError:
            log.warning("object storage is away; a snapshot is cleared later")
        return False
