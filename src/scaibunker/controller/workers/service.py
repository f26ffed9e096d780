"""Taking heartbeats in: what a worker is, what it sees, and what it should do about it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

import structlog

from scaibunker.controller.bunkers.domain import Desired
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.usage.egress import Egress
from scaibunker.controller.workers.compatibility import Compatibility
from scaibunker.controller.workers.domain import Capacity, Presence, Worker
from scaibunker.controller.workers.fleet import Fleet
from scaibunker.controller.workers.identity import Identity
from scaibunker.controller.workers.roll import Expected, Roll
from scaibunker.controller.workers.vicinity import Vicinity
from scaibunker.wire.worker.gateway import GatewayReport
from scaibunker.wire.worker.heartbeat import Heartbeat, HeartbeatAnswer, Introduction
from scaibunker.wire.worker.machines import ExecStatus, MachineState, MachineStatus
from scaibunker.wire.worker.snapshots import SnapshotStatus
from scaigrid.db import Database
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.errors import ValidationFailed
from scaigrid.operation import Operation

log = structlog.get_logger(__name__)

Finished = Callable[[Operation, str, Sequence[ExecStatus]], Awaitable[list[str]]]
"""Takes commands that ended by a worker's word; returns the ids of those it need not repeat."""
Copies = Callable[[str, Sequence[SnapshotStatus]], None]
"""Takes what a worker says of the snapshots that it makes."""
Bridges = Callable[[str, Sequence[str] | None], None]
"""Takes what a worker says of the bridges that it has; None if it says nothing."""
GatewayReports = Callable[[str, GatewayReport | None], None]
"""Takes what a worker's gateway has done since it was last told."""
Hint = Callable[[str], None]
"""Tells the reconciler that a bunker may need it."""

_EXPECTED = {
    State.PROVISIONING: MachineState.BUILDING,
    State.RUNNING: MachineState.RUNNING,
    State.PAUSED: MachineState.PAUSED,
}


class Heartbeats:
    """One heartbeat of a worker after the other."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        presence: Presence,
        interval_s: float,
        hint: Hint,
        finished: Finished,
        egress: Egress,
        compatibility: Compatibility,
        identity: Identity,
        copies: Copies,
        bridges: Bridges,
        *,
        vicinity: Vicinity,
        gateways: GatewayReports = lambda _worker_id, _report: None,
        require_https: bool = False,
    ) -> None:
        self._vicinity = vicinity
        self._gateways = gateways
        self._schemes = ("https",) if require_https else ("http", "https")
        self._compatibility = compatibility
        self._roll = Roll(database, identity)
        self._egress = egress
        self._fleet = fleet
        self._presence = presence
        self._interval_s = interval_s
        self._hint = hint
        self._finished = finished
        self._copies = copies
        self._bridges = bridges
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take(self, op: Operation, beat: Heartbeat | Introduction) -> HeartbeatAnswer:
        """Record a heartbeat, wake the reconciler where it differs from what should be, and
        answer what should not exist. Raises ProtocolMismatch for a worker that is not understood,
        WorkerIdTaken for the second one of an id, ValidationFailed for a report that makes no sense."""
        await self._compatibility.check(op, beat)
        if not isinstance(beat, Heartbeat):
            raise ValidationFailed("The heartbeat has not the form of its version.")
        _check(beat, self._schemes)
        async with self._turns[beat.worker_id]:
            expected = await self._store(op, _worker(op, beat))
            self._fleet.report(beat.worker_id, beat.machines)
            await self._egress.report(op, beat.worker_id, beat.machines)
            self._copies(beat.worker_id, beat.snapshots)
            self._bridges(beat.worker_id, beat.bridges)
            self._wake(expected, {m.bunker_id: m for m in beat.machines})
            acknowledged = await self._finished(op, beat.worker_id, beat.finished_execs)
            # The last: of what is not answered it tells again.
            self._gateways(beat.worker_id, beat.gateway)
        strays = [m.bunker_id for m in beat.machines if m.bunker_id not in expected]
        if strays:
            log.warning("machines without a bunker", worker_id=beat.worker_id, bunkers=strays)
        return HeartbeatAnswer(
            interval_s=self._interval_s,
            protocol=self._compatibility.current,
            terminate=strays,
            acknowledged_execs=acknowledged,
            vicinity=None if beat.vicinity is None else self._vicinity.change_since(beat.vicinity),
        )

    async def _store(self, op: Operation, worker: Worker) -> Expected:
        try:
            return await self._roll.enter(op, worker)
        except DatabaseUnavailable:
            self._presence.missed(op.now())
            raise

    def _wake(self, expected: Expected, machines: Mapping[str, MachineStatus]) -> None:
        for bunker_id, (status, desired) in expected.items():
            machine = machines.get(bunker_id)
            as_it_should = machine is not None and machine.state == _EXPECTED.get(status)
            if not as_it_should or desired is Desired.TERMINATED:
                self._hint(bunker_id)


def _check(beat: Heartbeat, schemes: tuple[str, ...]) -> None:
    try:
        address = urlsplit(beat.address)
        good = address.scheme in schemes and address.hostname and not address.path
        _ = address.port  # raises ValueError if it is none
    except ValueError:
        good = False
    if not good:
        raise ValidationFailed.of(
            "address", f"must be an {' or '.join(schemes)} URL of host and port"
        )


def _worker(op: Operation, beat: Heartbeat) -> Worker:
    return Worker(
        id=beat.worker_id,
        name=beat.name,
        address=beat.address,
        protocol=beat.protocol,
        version=beat.version,
        acceleration=beat.acceleration,
        network_profiles=beat.network_profiles,
        capacity=Capacity(
            cpu_millicores=beat.capacity.cpu_millicores,
            memory_mb=beat.capacity.memory_mb,
            disk_mb=beat.capacity.disk_mb,
            gpus=beat.capacity.gpus,
        ),
        cached_images=beat.cached_images,
        templates=sorted({template.name for template in beat.templates}),
        draining=False,
        last_heartbeat_at=op.now(),
        registry_hosts=sorted(set(beat.registry_hosts)),
        default_bandwidth_mbit=beat.default_bandwidth_mbit,
        network_addresses=sorted(set(beat.addresses)),
    )
