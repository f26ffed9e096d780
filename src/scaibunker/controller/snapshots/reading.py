"""Reading snapshots."""

from scaibunker.controller.snapshots import repository
from scaibunker.controller.snapshots.domain import Snapshot
from scaibunker.controller.snapshots.errors import SnapshotNotFound
from scaibunker.controller.snapshots.repository import Filter
from scaigrid.db import Database
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.operation import Operation


class SnapshotReading:
    """What callers read of snapshots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, op: Operation, snapshot_id: str) -> Snapshot:
        """One snapshot. Raises SnapshotNotFound."""
        async with self._database.read() as db:
            snapshot = await repository.get(op, db, snapshot_id)
        if snapshot is None:
            raise SnapshotNotFound
        return snapshot

    async def listing(self, op: Operation, page: PageRequest, wanted: Filter) -> Slice[Snapshot]:
        """A page of snapshots, newest first."""
        async with self._database.read() as db:
            return await repository.listing(op, db, page, wanted)
