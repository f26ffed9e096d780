"""`DELETE /bunkers/{id}?snapshot=true`: a bunker that ends once there is a snapshot of it.

It stands still until the snapshot is ready, so that nothing is done in it that the snapshot does not have. One
that sleeps has its snapshot already: that is kept, and is its owner's from then on.
"""

from collections.abc import Callable

from scaibunker.controller.bunkers import repository as bunkers
from scaibunker.controller.bunkers.domain import Bunker, Desired
from scaibunker.controller.bunkers.errors import BunkerInvalidTransition, BunkerNotRunning
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.bunkers.reading import Reading
from scaibunker.controller.bunkers.states import MovedMeanwhile
from scaibunker.controller.quotas.ledger import Ledger
from scaibunker.controller.settings import SnapshotSettings
from scaibunker.controller.snapshots import repository
from scaibunker.controller.snapshots.domain import Purpose, Snapshot
from scaibunker.controller.snapshots.errors import SnapshotNotReady
from scaibunker.controller.snapshots.limits import check_counts, expires_at
from scaibunker.controller.snapshots.take import ATTEMPTS, Take
from scaibunker.wire.api.snapshots import SnapshotCreate, SnapshotKind, SnapshotStatus
from scaigrid.db import Database, Writer
from scaigrid.db.errors import DatabaseBusy
from scaigrid.errors import detail
from scaigrid.operation import Operation


class EndWithSnapshot:
    """Ends bunkers with a snapshot."""

    def __init__(
        self,
        database: Database,
        reading: Reading,
        take: Take,
        ledger: Ledger,
        settings: SnapshotSettings,
        wait_s: float,
        hint: Callable[[str], None],
    ) -> None:
        self._database = database
        self._reading = reading
        self._take = take
        self._ledger = ledger
        self._settings = settings
        self._wait_s = wait_s
        self._hint = hint

    async def __call__(self, op: Operation, bunker_id: str, kind: SnapshotKind) -> Bunker:
        """The bunker when it has ended, or as it is after a while; then the rest goes on in the background.
        Asking again waits for the same snapshot. Raises what `Take` does, and SnapshotNotReady if there
        will be none: then the bunker goes on."""
        bunker = await self._reading.get(op, bunker_id)
        if bunker.is_final or bunker.desired is Desired.TERMINATED:
            return await self._until_ended(op, bunker_id)
        snapshot = await self._slept_in(op, bunker_id, kind) or await self._under_way(op, bunker)
        if snapshot is None:
            snapshot = await self._taken(op, bunker_id, kind)
        if snapshot is None:
            return await self._until_ended(op, bunker_id)
        op.note(snapshot_id=snapshot.id)
        bunker = await self._until_ended(op, bunker_id)
        if _goes_on(bunker):
            await self._explain(op, snapshot.id)
        return bunker

    async def _taken(self, op: Operation, bunker_id: str, kind: SnapshotKind) -> Snapshot | None:
        """A new one; or that of somebody who has asked for the same just before, None if it ends or has ended."""
        try:
            return await self._take(op, bunker_id, SnapshotCreate(kind=kind), Purpose.TERMINATION)
        except BunkerInvalidTransition:
            bunker = await self._reading.get(op, bunker_id)
            snapshot = await self._under_way(op, bunker)
            if (
                snapshot is None
                and not bunker.is_final
                and bunker.desired is not Desired.TERMINATED
            ):
                raise
            return snapshot

    async def _slept_in(self, op: Operation, bunker_id: str, kind: SnapshotKind) -> Snapshot | None:
        """The snapshot of one that sleeps, which then is to end. It has the bunker's memory; of the kind `disk`
        nothing is made of that."""

        async def work(db: Writer) -> Snapshot | None:
            bunker = await bunkers.get(op, db, bunker_id)
            if bunker is None or not bunker.passivated or bunker.passive_snapshot_id is None:
                return None
            check_counts(
                bunker.tenant_id,
                await repository.counts(op, db, bunker.tenant_id),
                self._settings,
            )
            snapshot = await repository.find(op, db, bunker.passive_snapshot_id)
            if snapshot is None or not snapshot.is_usable:
                raise BunkerNotRunning.because("passivated")
            kept = {
                "purpose": Purpose.TERMINATION.value,
                "kind": kind.value,
                "expires_at": expires_at(op.now(), None, self._settings.snapshot_max_lifetime_s),
            }
            ends = {
                "desired": Desired.TERMINATED.value,
                "desired_reason": f"ended by {op.user.name}, with a snapshot",
                "passive_snapshot_id": None,
            }
            if not await repository.change(op, db, snapshot, kept):
                raise MovedMeanwhile
            if not await bunkers.change(op, db, bunker, **ends):
                raise MovedMeanwhile
            return snapshot

        for _ in range(ATTEMPTS):
            try:
                snapshot = await self._database.transaction(work)
            except MovedMeanwhile:
                continue
            if snapshot is not None:
                self._hint(bunker_id)
            return snapshot
        raise DatabaseBusy("The bunker changes too fast; nothing was done.")

    async def _under_way(self, op: Operation, bunker: Bunker) -> Snapshot | None:
        """The snapshot with which it is to end already."""
        copy_id = bunker.capturing_snapshot_id
        if bunker.status is not State.SNAPSHOTTING or copy_id is None:
            return None
        async with self._database.read() as db:
            snapshot = await repository.get(op, db, copy_id)
        ends = snapshot is not None and snapshot.purpose is Purpose.TERMINATION
        return snapshot if ends else None

    async def _until_ended(self, op: Operation, bunker_id: str) -> Bunker:
        bunker = await self._reading.until(op, bunker_id, _goes_on, self._wait_s)
        if bunker.is_final:
            await self._ledger.let_go(bunker_id)
        return bunker

    async def _explain(self, op: Operation, snapshot_id: str) -> None:
        async with self._database.read() as db:
            snapshot = await repository.get(op, db, snapshot_id)
        if snapshot is not None and snapshot.status is SnapshotStatus.READY:
            return  # somebody has made it go on
        reason = snapshot.status_reason if snapshot else "it was deleted"
        raise SnapshotNotReady(
            f"The bunker goes on, because its snapshot failed: {reason}",
            hint="Delete it without a snapshot, or try again.",
            details=[detail("snapshot", "failed", snapshot_id=snapshot_id)],
        )


def _goes_on(bunker: Bunker) -> bool:
    """Whether it neither ends nor stands still for that."""
    return bunker.status is not State.SNAPSHOTTING and bunker.desired is not Desired.TERMINATED
