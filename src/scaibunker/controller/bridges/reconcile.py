"""Keeping bridges' rows and workers in step.

Run on a timer, and when a worker reports other bridges than before, at every replica; can be killed between any two
lines. What was begun is finished: one whose creation nobody waits for any more is made or given up, one that is being
deleted is taken down. What a worker has lost is made again; what it has and should not have is taken down.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta

import structlog

from scaibunker.controller.bridges import repository
from scaibunker.controller.bridges.create import spec_of
from scaibunker.controller.bridges.domain import Bridge
from scaibunker.controller.bridges.pace import Pace
from scaibunker.controller.bridges.remove import TakeDown
from scaibunker.controller.bridges.reports import Report, Reports
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.domain import Presence
from scaibunker.controller.workers.errors import WorkerRefused, WorkerUnreachable
from scaibunker.controller.worklist import Worklist
from scaibunker.wire.api.bridges import BridgeStatus
from scaigrid import logs
from scaigrid.clock import Clock
from scaigrid.db import Database, Writer
from scaigrid.loops import forever
from scaigrid.operation import Operation, system_operation

log = structlog.get_logger(__name__)

PATIENCE = timedelta(seconds=30)
"""How long the request that creates a bridge may take: longer than its worker has to answer."""


class BridgeReconciler:
    """The loop, and one bridge's pass."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        interval_s: float,
        concurrency: int,
        *,
        presence: Presence,
        client: WorkerClient,
        take_down: TakeDown,
        good_for_s: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._interval_s = interval_s
        self._presence = presence
        self._client = client
        self._take_down = take_down
        self._reports = Reports(clock, good_for_s)
        self._look = asyncio.Event()
        self._pace: Pace[tuple[str, str | None]] = Pace(interval_s)
        self._worklist: Worklist[tuple[str, str | None]] = Worklist(self._settle, concurrency)

    def hint(self, bridge_id: str) -> None:
        """A bridge may need work."""
        self._worklist.hint((bridge_id, None))

    def heard(self, worker_id: str, bridges: Sequence[str] | None) -> None:
        """A worker's heartbeat names these, or says nothing of them."""
        if bridges is not None and self._reports.take(worker_id, bridges):
            self._look.set()

    @property
    def at_work(self) -> Collection[tuple[str, str | None]]:
        """What is being looked at, or waits for it: a bridge, and the worker that should not have it."""
        return self._worklist.at_work

    async def run(self) -> None:
        """Look for work from time to time, for ever."""
        await forever("bridges", self._look_for_work, 0)

    async def close(self) -> None:
        """Break off all passes; what they were doing is found again."""
        await self._worklist.close()

    async def _look_for_work(self) -> None:
        try:
            async with asyncio.timeout(self._interval_s):
                await self._look.wait()
        except TimeoutError:
            pass
        self._look.clear()
        reports = (
            self._reports.recent()
        )  # before the rows: what is reported has a row by now, or should not be
        op = self._op()
        async with self._database.read() as db:
            known = await repository.everyone(op, db)
        unsettled = _unsettled(known, reports, op)
        for key in self._pace.due(unsettled, self._clock.monotonic()):
            self._worklist.hint(key)

    def _op(self) -> Operation:
        return system_operation("bridges", self._clock)

    async def _settle(self, key: tuple[str, str | None]) -> None:
        """One pass. `wrongly_at` is a worker that names the bridge, and is not its own."""
        logs.of_system("bridges")
        bridge_id, wrongly_at = key
        op = self._op()
        async with self._database.read() as db:
            bridge = await repository.get(op, db, bridge_id)
        if wrongly_at is not None:
            if bridge is None or bridge.worker_id != wrongly_at:
                await self._forget_at(op, bridge_id, wrongly_at)
        elif bridge is not None and bridge.status is BridgeStatus.DELETING:
            await self._take_down(op, bridge)
        elif bridge is not None and not _is_being_made(bridge, op):
            await self._make(op, bridge)

    async def _make(self, op: Operation, bridge: Bridge) -> None:
        """Have its worker make it, which changes nothing where it is there."""
        async with self._database.read() as db:
            worker = await workers.get(op, db, bridge.worker_id)
        lost = worker is None or self._presence.is_lost(worker, op.now())
        try:
            if worker is None or lost:
                raise WorkerUnreachable
            await self._client.make_bridge(worker.address, spec_of(bridge))
        except WorkerUnreachable:
            if lost and bridge.status is BridgeStatus.CREATING:
                await self._give_up(op, bridge, "its worker is lost")
            return
        except WorkerRefused as refusal:
            log.warning("worker refused a bridge", bridge_id=bridge.id, error=str(refusal))
            if refusal.status >= 500:
                return
            reason = f"its worker refused it: {refusal.message[:500]}"
            if bridge.status is BridgeStatus.CREATING:
                await self._give_up(op, bridge, reason)
            else:
                await self._write(op, bridge, BridgeStatus.FAILED, reason)
            return
        if bridge.status is not BridgeStatus.READY:
            await self._write(op, bridge, BridgeStatus.READY, None)

    async def _give_up(self, op: Operation, bridge: Bridge, reason: str) -> None:
        async def work(db: Writer) -> bool:
            return await repository.remove(op, db, bridge.id, BridgeStatus.CREATING)

        if await self._database.transaction(work):
            log.warning("bridge given up", bridge_id=bridge.id, reason=reason)

    async def _write(
        self, op: Operation, bridge: Bridge, status: BridgeStatus, reason: str | None
    ) -> None:
        if (bridge.status, bridge.status_reason) == (status, reason):
            return

        async def work(db: Writer) -> bool:
            return await repository.change(op, db, bridge, status, reason)

        await self._database.transaction(work)

    async def _forget_at(self, op: Operation, bridge_id: str, worker_id: str) -> None:
        """A worker has one that it should not have; said again when it is heard to have it still."""
        async with self._database.read() as db:
            worker = await workers.get(op, db, worker_id)
        if worker is None:
            return
        log.warning("bridge without a record", bridge_id=bridge_id, worker_id=worker_id)
        try:
            await self._client.remove_bridge(worker.address, bridge_id)
        except (WorkerUnreachable, WorkerRefused) as error:
            log.warning("bridge not taken down", bridge_id=bridge_id, error=repr(error))


def _is_being_made(bridge: Bridge, op: Operation) -> bool:
    """Whether somebody may still wait for it."""
    return bridge.status is BridgeStatus.CREATING and op.now() - bridge.updated_at < PATIENCE


def _unsettled(
    known: Sequence[Bridge], reports: Mapping[str, Report], op: Operation
) -> Iterator[tuple[str, str | None]]:
    homes = {bridge.id: bridge.worker_id for bridge in known}
    for bridge in known:
        report = reports.get(bridge.worker_id)
        lacking = (
            report is not None and bridge.id not in report.bridges and report.at > bridge.updated_at
        )
        has_failed = bridge.status is BridgeStatus.FAILED and report is not None
        unfinished = bridge.status in (BridgeStatus.CREATING, BridgeStatus.DELETING)
        if _is_being_made(bridge, op):
            continue
        if lacking or has_failed or unfinished:
            yield bridge.id, None
    for worker_id, report in reports.items():
        for bridge_id in report.bridges:
            if homes.get(bridge_id) != worker_id:
                yield bridge_id, worker_id
