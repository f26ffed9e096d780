"""The one place where a bunker's status is written, whoever asks for it."""

from collections.abc import Callable
from typing import Any

import structlog

from scaibunker.controller.bunkers import repository
from scaibunker.controller.bunkers.domain import Bunker
from scaibunker.controller.bunkers.lifecycle import FINAL, Event, next_state
from scaibunker.controller.bunkers.notify import Notifier
from scaibunker.controller.quotas import holds
from scaibunker.controller.quotas.ledger import Ledger
from scaibunker.controller.snapshots import repository as snapshots
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

MAX_REASON = 8192


class MovedMeanwhile(Exception):
    """The row is not what it was read as: nothing of the transaction may stay."""


class States:
    """Moves bunkers from state to state: guarded, with its event, and heard by those who wait.
    `hint_snapshot` tells the snapshots' reconciler of one that is not needed any more."""

    def __init__(
        self,
        database: Database,
        notifier: Notifier,
        ledger: Ledger,
        hint_snapshot: Callable[[str], None],
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._ledger = ledger
        self._hint_snapshot = hint_snapshot

    async def move(
        self,
        op: Operation,
        bunker: Bunker,
        event: Event,
        reason: str | None = None,
        **changes: Any,
    ) -> bool:
        """Let `event` happen to a bunker as it was read.

        Returns False if the row has moved on since: read again and decide again. Raises
        InvalidTransition if the state does not allow the event.
        """

        async def work(db: Writer) -> bool:
            return await self.write(op, db, bunker, event, reason, **changes)

        moved = await self._database.transaction(work)
        if moved:
            await self.tell(bunker, event, reason)
        return moved

    async def write(
        self,
        op: Operation,
        db: Writer,
        bunker: Bunker,
        event: Event,
        reason: str | None = None,
        **changes: Any,
    ) -> bool:
        """`move` as a part of a transaction; `tell` follows once that is committed. A bunker that
        ends, or leaves its worker, gives back what it held of it; one that ends, its quota too."""
        target = next_state(bunker.status, event)
        if target in FINAL:
            changes |= {"terminated_at": op.now(), "passivated": False}
        moved = await repository.move(op, db, bunker, target, _short(reason), changes)
        if moved and (target in FINAL or "worker_id" in changes):
            await repository.leave(op, db, bunker)
        if moved and target in FINAL:
            await holds.remove(op, db, bunker.id)
            if bunker.passive_snapshot_id is not None:
                await snapshots.discard(op, db, bunker.passive_snapshot_id)
        return moved

    async def tell(self, bunker: Bunker, event: Event, reason: str | None) -> None:
        """Say what has happened to a bunker."""
        log.info(
            "bunker moved",
            bunker_id=bunker.id,
            source=bunker.status.value,
            target=next_state(bunker.status, event).value,
            reason=_short(reason),
        )
        self._notifier.publish(bunker.id)
        if next_state(bunker.status, event) in FINAL:
            for snapshot_id in bunker.own_snapshots:
                self._hint_snapshot(snapshot_id)
            await self._ledger.let_go(bunker.id)

    def notify(self, bunker_id: str) -> None:
        """Wake who waits for a bunker: something else than its status has changed."""
        self._notifier.publish(bunker_id)


def _short(reason: str | None) -> str | None:
    return reason[:MAX_REASON] if reason else None
