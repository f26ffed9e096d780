"""`POST /bunkers/{id}/snapshot`: from a request to a row, and a bunker that stands still for it.

The copying is the reconciler's business; the answer does not wait for it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from scaibunker.controller.bunkers import repository as bunkers
from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.bunkers.domain import Bunker, Desired
from scaibunker.controller.bunkers.errors import (
    BunkerInvalidTransition,
    BunkerNotFound,
    BunkerNotRunning,
)
from scaibunker.controller.bunkers.lifecycle import Event, State
from scaibunker.controller.bunkers.states import MovedMeanwhile, States
from scaibunker.controller.settings import SnapshotSettings
from scaibunker.controller.snapshots import repository
from scaibunker.controller.snapshots.domain import Purpose, Snapshot
from scaibunker.controller.snapshots.limits import check_counts, expires_at
from scaibunker.wire.api.snapshots import SnapshotCreate, SnapshotKind, SnapshotStatus
from scaigrid.db import Database, Writer
from scaigrid.db.errors import DatabaseBusy
from scaigrid.ids import new_id
from scaigrid.operation import Operation

EVENTS = {
    State.RUNNING: Event.SNAPSHOT_OF_RUNNING,
    State.PAUSED: Event.SNAPSHOT_OF_PAUSED,
}
ATTEMPTS = 3
"""How often a bunker is read again that somebody changes meanwhile."""


class Take:
    """Begins snapshots."""

    def __init__(
        self,
        database: Database,
        states: States,
        activity: Activity,
        settings: SnapshotSettings,
        hint: Callable[[str], None],
    ) -> None:
        self._database = database
        self._states = states
        self._activity = activity
        self._settings = settings
        self._hint = hint

    async def __call__(
        self, op: Operation, bunker_id: str, body: SnapshotCreate, purpose: Purpose = Purpose.USER
    ) -> Snapshot:
        """A new snapshot, being created; its bunker is `snapshotting`. An attempt that is repeated under
        its idempotency key finds what it has made. Raises BunkerNotFound, BunkerInvalidTransition,
        BunkerNotRunning, BunkerQuotaExceeded."""
        snapshot_id = new_id("snp", op.token)
        keep_until = expires_at(op.now(), body.expires_in_s, self._settings.snapshot_max_lifetime_s)

        async def work(db: Writer) -> tuple[Snapshot, Bunker | None]:
            made = await repository.find(op, db, snapshot_id)
            if made is not None:
                return made, None
            bunker = await bunkers.get(op, db, bunker_id)
            if bunker is None:
                raise BunkerNotFound
            _check(bunker)
            if purpose is not Purpose.PASSIVATION:
                counts = await repository.counts(op, db, bunker.tenant_id)
                check_counts(bunker.tenant_id, counts, self._settings)
            base_id = await repository.base_for(op, db, bunker)
            snapshot = draft(
                op,
                snapshot_id,
                bunker,
                kind=body.kind,
                purpose=purpose,
                name=body.name,
                keep_until=keep_until,
                base_id=base_id,
            )
            await repository.add(op, db, snapshot)
            moved = await self._states.write(
                op,
                db,
                bunker,
                EVENTS[bunker.status],
                capturing_snapshot_id=snapshot_id,
                captured_from=bunker.status.value,
            )
            if not moved:
                raise MovedMeanwhile
            return snapshot, bunker

        snapshot, bunker = await self._carried_out(work)
        if bunker is not None:
            await self._states.tell(bunker, EVENTS[bunker.status], None)
            self._activity.touch(bunker_id)
        self._hint(snapshot.id)
        return snapshot

    async def _carried_out(
        self, work: Callable[[Writer], Awaitable[tuple[Snapshot, Bunker | None]]]
    ) -> tuple[Snapshot, Bunker | None]:
        for _ in range(ATTEMPTS):
            try:
                return await self._database.transaction(work)
            except MovedMeanwhile:
                continue
        raise DatabaseBusy("The bunker changes too fast; nothing was done.")


def _check(bunker: Bunker) -> None:
    """Whether it can stand still for a copy now."""
    ends = bunker.desired is Desired.TERMINATED and not bunker.is_final
    status = State.TERMINATED if ends else bunker.status
    if status not in EVENTS:
        raise BunkerInvalidTransition.between(status.value, State.SNAPSHOTTING.value)
    if bunker.passivated:
        raise BunkerNotRunning.because("passivated")


def draft(
    op: Operation,
    snapshot_id: str,
    bunker: Bunker,
    *,
    kind: SnapshotKind,
    purpose: Purpose,
    name: str | None = None,
    keep_until: datetime | None = None,
    base_id: str | None = None,
) -> Snapshot:
    """A snapshot that is to be made. Whoever asks for it, it is its bunker's owner's: so is what is in it."""
    now = op.now()
    return Snapshot(
        id=snapshot_id,
        tenant_id=bunker.tenant_id,
        owner_user_id=bunker.owner_user_id,
        bunker_id=bunker.id,
        name=name,
        kind=kind,
        purpose=purpose,
        status=SnapshotStatus.CREATING,
        status_reason=None,
        phase=None,
        done_bytes=0,
        total_bytes=0,
        size_bytes=None,
        manifest_sha256=None,
        worker_id=bunker.worker_id,
        base_snapshot_id=base_id,
        image=bunker.image,
        cpu_millicores=bunker.shape.cpu_millicores,
        memory_mb=bunker.shape.memory_mb,
        disk_mb=bunker.shape.disk_mb,
        network_profile=bunker.network.profile,
        created_at=now,
        moved_at=now,
        expires_at=keep_until,
    )
