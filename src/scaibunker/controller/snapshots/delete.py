"""`DELETE /snapshots/{id}`."""

from collections.abc import Callable

from scaibunker.controller.snapshots import repository
from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.controller.snapshots.errors import SnapshotNotFound
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation


class DeleteSnapshot:
    """Deletes a snapshot for its users; what is stored of it goes when nothing depends on it."""

    def __init__(self, database: Database, hint: Callable[[str], None]) -> None:
        self._database = database
        self._hint = hint

    async def __call__(self, op: Operation, snapshot_id: str) -> Snapshot:
        """The record as it was last. One that is being created is given up. Raises SnapshotNotFound."""

        async def work(db: Writer) -> Snapshot:
            snapshot = await repository.locked(op, db, snapshot_id)
            if snapshot is None:
                raise SnapshotNotFound
            await repository.change(op, db, snapshot, {"deleted_at": op.now()})
            return snapshot

        snapshot = await self._database.transaction(work)
        self._hint(snapshot.id)
        return snapshot
