"""The background task about snapshots: what has expired, what was left behind, what nobody looks after.

What only a worker can tell is the reconciler's, beside the operations. This sees to it that nothing stays
that none of them comes to: because it died, or because storage was away.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from scaibunker.controller.settings import SnapshotSettings
from scaibunker.controller.snapshots import repository
from scaibunker.controller.snapshots.remains import Remains
from scaibunker.controller.snapshots.stored import StoredSnapshots, owner_of
from scaibunker.storage.errors import StoreError
from scaibunker.storage.objects import Page
from scaibunker.wire.api.snapshots import SnapshotStatus
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation
from scaigrid.tasks.domain import Every, Span, Task

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Rows of one look."""
MAX_PAGES = 20
"""Pages of objects that one run looks at; the next one goes on from there."""
ORPHANS = "snapshots.orphans"
FAILED_KEPT = timedelta(days=7)
"""How long it can be read why a snapshot failed."""
ORPHAN_AGE = timedelta(hours=1)
"""How old objects must be of which there is no row: a worker may still be storing them."""
ABANDONED_AFTER = 2
"""How many times the limit for a snapshot without progress; then nobody looks after it."""
TIME_LIMIT_S = 240


class Cleanup:
    """The task."""

    def __init__(
        self,
        database: Database,
        remains: Remains,
        stored: StoredSnapshots,
        settings: SnapshotSettings,
        hint: Callable[[str], None],
    ) -> None:
        self._database = database
        self._remains = remains
        self._stored = stored
        self._settings = settings
        self._hint = hint

    def task(self, module: str) -> Task:
        """Its declaration."""
        name = f"{module}.clean_up_snapshots"
        return Task(name, Every(300), self.run, time_limit_s=TIME_LIMIT_S)

    async def run(self, op: Operation, span: Span) -> None:  # noqa: ARG002
        """Look once, and clear what can go."""
        await self._let_expire(op)
        await self._abandon(op)
        await self._clear(op)
        try:
            await self._remove_orphans(op)
        except StoreError:
            log.warning("object storage is away; what is left in it is looked for later")

    async def _let_expire(self, op: Operation) -> None:
        async def work(db: Writer) -> list[str]:
            return await repository.expire(op, db, op.now() - FAILED_KEPT, AT_ONCE)

        while expired := await self._database.transaction(work):
            log.info("snapshots have expired", count=len(expired))
            for snapshot_id in expired:
                self._hint(snapshot_id)

    async def _abandon(self, op: Operation) -> None:
        """Those that no reconciler has brought to their end. Their workers are told when they report."""
        patience = timedelta(seconds=ABANDONED_AFTER * self._settings.snapshot_stall_timeout_s)
        async with self._database.read() as db:
            found = await repository.unmoved(op, db, op.now() - patience, AT_ONCE)
        for snapshot in found:
            changes = {
                "status": SnapshotStatus.FAILED.value,
                "status_reason": "nobody has looked after it",
                "phase": None,
                "moved_at": op.now(),
            }
            async with self._database.write() as db:
                await repository.change(op, db, snapshot, changes)

    async def _clear(self, op: Operation) -> None:
        """Page by page, since what something depends on stays."""
        after = ""
        while True:
            async with self._database.read() as db:
                found = await repository.to_clear(op, db, after, AT_ONCE)
            for snapshot in found:
                await self._remains.clear(op, snapshot)
            if len(found) < AT_ONCE:
                return
            after = found[-1].id

    async def _remove_orphans(self, op: Operation) -> None:
        """Objects of no snapshot: of one whose row is gone, or that was cleared before they came. What is
        stored is gone through over several runs, so that each costs as much as another."""
        async with self._database.read() as db:
            after = await repository.mark(op, db, ORPHANS)
        for _ in range(MAX_PAGES):
            page = await self._stored.page(after)
            after = page.objects[-1].key if page.has_more else None
            async with self._database.write() as db:  # first: what cannot be removed is no end
                await repository.set_mark(op, db, ORPHANS, after)
            await self._remove(op, _owners(page))
            if after is None:
                return

    async def _remove(self, op: Operation, newest: dict[str, datetime]) -> None:
        old = [owner for owner, at in newest.items() if at < op.now() - ORPHAN_AGE]
        if not old:
            return
        async with self._database.read() as db:
            known = await repository.stored_of(op, db, old)
        for owner in old:
            if owner not in known:
                log.warning("objects of no snapshot are removed", snapshot_id=owner)
                await self._stored.remove(owner)


def _owners(page: Page) -> dict[str, datetime]:
    """The snapshots whose objects these are, and when the newest of each came; what is no snapshot's is not ours to
    remove."""
    newest: dict[str, datetime] = {}
    for info in page.objects:
        owner = owner_of(info.key)
        if owner is not None:
            newest[owner] = max(newest.get(owner, info.modified_at), info.modified_at)
    return newest
