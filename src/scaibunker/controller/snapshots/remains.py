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
    when they say so: what depends on it only becomes less.
    """

    def __init__(self, database: Database, stored: StoredSnapshots) -> None:
        self._database = database
        self._stored = stored

    async def clear(self, op: Operation, snapshot: Snapshot) -> bool:
        """Delete the objects of a snapshot that has failed or is deleted, and of a deleted one the row.
        Returns whether all that was to go is gone; if not, try again later."""
        if snapshot.status is SnapshotStatus.CREATING:
            return False  # its worker may be writing
        is_kept = snapshot.status is SnapshotStatus.READY or snapshot.cleared_at is not None
        if is_kept and snapshot.deleted_at is None:
            return True
        if snapshot.cleared_at is None:
            async with self._database.read() as db:
                need = await repository.need(op, db, snapshot.id)
            if not await self._removed(snapshot, need):
                return False

        async def work(db: Writer) -> None:
            if snapshot.deleted_at is not None:
                await repository.remove(op, db, snapshot.id)
            else:
                await repository.change(op, db, snapshot, {"cleared_at": op.now()})

        await self._database.transaction(work)
        log.info("snapshot cleared", snapshot_id=snapshot.id)
        return True

    async def _removed(self, snapshot: Snapshot, need: Need) -> bool:
        """Delete what nothing needs; returns whether that is all."""
        try:
            match need:
                case Need.NOTHING:
                    await self._stored.remove(snapshot.id)
                    return True
                case Need.DISK if snapshot.kind is SnapshotKind.FULL:
                    await self._stored.remove_memory(snapshot.id)
        except StoreError:
            log.warning("object storage is away; a snapshot is cleared later")
        return False
