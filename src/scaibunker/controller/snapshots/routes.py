"""`/snapshots`, and making one: `/bunkers/{id}/snapshot`."""

from typing import Annotated

from fastapi import Query

from scaibunker.controller.bunkers.errors import (
    BunkerInvalidTransition,
    BunkerNotFound,
    BunkerNotRunning,
)
from scaibunker.controller.bunkers.resources import BUNKER
from scaibunker.controller.permissions import ADMIN_KEYS, Key
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.snapshots.delete import DeleteSnapshot
from scaibunker.controller.snapshots.errors import SnapshotNotFound
from scaibunker.controller.snapshots.reading import SnapshotReading
from scaibunker.controller.snapshots.repository import Filter
from scaibunker.controller.snapshots.resources import SNAPSHOT
from scaibunker.controller.snapshots.take import Take
from scaibunker.controller.snapshots.view import view
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import snapshots as wire
from scaigrid.http.access import Needs
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.routes import Op, Routes, many, one

_ONE = "/snapshots/{snapshot_id}"


class SnapshotEndpoints:
    """Make, read and delete snapshots."""

    def __init__(self, take: Take, reading: SnapshotReading, delete: DeleteSnapshot) -> None:
        self._take = take
        self._reading = reading
        self._delete = delete

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(BASE_PATH, "snapshots", BUNKER, SNAPSHOT)
        owners = Needs(Key.CREATE, *ADMIN_KEYS)
        missing, record = SnapshotNotFound, one(wire.Snapshot)
        routes.add(
            "POST",
            "/bunkers/{bunker_id}/snapshot",
            self.snapshot_bunker,
            access=owners,
            answers=one(wire.Snapshot, 202, "The record of the snapshot, which is being created."),
            errors=[
                BunkerNotFound,
                BunkerInvalidTransition,
                BunkerNotRunning,
                BunkerQuotaExceeded,
            ],
        )
        routes.add(
            "GET", "/snapshots", self.list_snapshots, access=owners, answers=many(wire.Snapshot)
        )
        routes.add("GET", _ONE, self.get_snapshot, access=owners, answers=record, errors=[missing])
        routes.add(
            "DELETE", _ONE, self.delete_snapshot, access=owners, answers=record, errors=[missing]
        )
        return routes

    async def snapshot_bunker(
        self, op: Op, bunker_id: str, body: wire.SnapshotCreate
    ) -> wire.Snapshot:
        """Copy a running or paused bunker. It is `snapshotting` until it is copied, and then what it was
        before, while the copy is compressed and stored."""
        return view(await self._take(op, bunker_id, body))

    async def list_snapshots(
        self,
        op: Op,
        page: Paged,
        bunker_id: Annotated[str | None, Query(max_length=64)] = None,
        status: Annotated[wire.SnapshotStatus | None, Query()] = None,
        kind: Annotated[wire.SnapshotKind | None, Query()] = None,
    ) -> Slice[wire.Snapshot]:
        """List the caller's snapshots; with an admin permission all of the tenant's."""
        wanted = Filter(bunker_id=bunker_id, status=status, kind=kind)
        return (await self._reading.listing(op, page, wanted)).map(view)

    async def get_snapshot(self, op: Op, snapshot_id: str) -> wire.Snapshot:
        """Read one snapshot, with how far it is."""
        return view(await self._reading.get(op, snapshot_id))

    async def delete_snapshot(self, op: Op, snapshot_id: str) -> wire.Snapshot:
        """Delete a snapshot; the answer is what it was. It does not exist from then on. One that is being
        created is given up. Bunkers that were made of it go on, and what is still being made of it will."""
        return view(await self._delete(op, snapshot_id))
