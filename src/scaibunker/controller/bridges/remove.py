"""`DELETE /bridges/{id}`: nobody can be plugged in from then on, then the worker is asked, then the row goes.

What cannot be finished at once is finished by the reconciler (`reconcile`), which takes the same steps.
"""

from collections.abc import Callable

import structlog

from scaibunker.controller.bridges import repository
from scaibunker.controller.bridges.domain import Bridge
from scaibunker.controller.bridges.errors import BridgeInUse, BridgeNotFound
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.domain import Presence
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.wire.api.bridges import BridgeStatus
from scaigrid.db import Database, Writer
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)


class TakeDown:
    """Has a bridge taken down that nobody can use any more."""

    def __init__(self, database: Database, client: WorkerClient, presence: Presence) -> None:
        self._database = database
        self._client = client
        self._presence = presence

    async def __call__(self, op: Operation, bridge: Bridge) -> bool:
        """Returns whether it is gone. A worker that is lost is not waited for: if it comes back, it is told
        that it has a bridge too many."""
        async with self._database.read() as db:
            worker = await workers.get(op, db, bridge.worker_id)
        if worker is not None and not self._presence.is_lost(worker, op.now()):
            try:
                await self._client.remove_bridge(worker.address, bridge.id)
            except (WorkerUnreachable, WorkerRefused) as error:
                log.warning("bridge not taken down", bridge_id=bridge.id, error=repr(error))
                return False

        async def drop(db: Writer) -> bool:
            return await repository.remove(op, db, bridge.id, BridgeStatus.DELETING)

        await self._database.transaction(drop)
        return True


class Remove:
    """Deletes bridges."""

    def __init__(
        self, database: Database, take_down: TakeDown, hint: Callable[[str], None]
    ) -> None:
        self._database = database
        self._take_down = take_down
        self._hint = hint

    async def __call__(self, op: Operation, bridge_id: str) -> Bridge:
        """The record as it was last, `deleting`. Raises BridgeNotFound, BridgeInUse."""

        async def work(db: Writer) -> Bridge:
            bridge = await repository.locked(op, db, bridge_id)
            if bridge is None:
                raise BridgeNotFound
            users = await repository.plugged_in(op, db, bridge_id)
            if users:
                raise BridgeInUse.by(users)
            if bridge.status is not BridgeStatus.DELETING:
                await repository.change(op, db, bridge, BridgeStatus.DELETING)
            return await repository.locked(op, db, bridge_id) or bridge

        bridge = await self._database.transaction(work)
        if not await self._take_down(op, bridge):
            self._hint(bridge.id)
        return bridge
