"""`POST /bridges`, in two phases: the name is taken, then the worker is asked.

If it refuses, or does not answer, the name is given back, and the caller told. A worker that made the bridge
though its answer was lost names it in its next heartbeat, and is told that it has one too many. If the controller dies
between the phases, the reconciler asks the worker again.
"""

from sqlalchemy.exc import IntegrityError

from scaibunker.controller.bridges import repository
from scaibunker.controller.bridges.domain import MOST_PER_TENANT, Bridge
from scaibunker.controller.bridges.errors import BridgeNotFound
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.scheduler.errors import NoSuitableWorker
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.client import WorkerClient, WorkerSilent
from scaibunker.controller.workers.domain import Worker
from scaibunker.controller.workers.errors import (
    WorkerNotFound,
    WorkerRefused,
    WorkerUnreachable,
)
from scaibunker.wire.api.bridges import BridgeStatus
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.bridges import BridgeSpec
from scaigrid.db import Database, Writer
from scaigrid.errors import detail
from scaigrid.ids import new_id
from scaigrid.operation import Operation
from scaigrid.tenancy.errors import NameConflict


def spec_of(bridge: Bridge) -> BridgeSpec:
    """What its worker is told of it."""
    return BridgeSpec(bridge_id=bridge.id, tenant_id=bridge.tenant_id, name=bridge.name)


class CreateBridge:
    """Makes bridges."""

    def __init__(self, database: Database, client: WorkerClient) -> None:
        self._database = database
        self._client = client

    async def __call__(self, op: Operation, name: str, worker_id: str) -> Bridge:
        """A new bridge of the caller's tenant, ready. Raises WorkerNotFound, NameConflict, BunkerQuotaExceeded,
        NoSuitableWorker if the worker refuses, WorkerUnreachable if it does not answer."""
        bridge, worker = await self._reserve(op, name, worker_id)
        if bridge.status is BridgeStatus.READY:
            return bridge  # an attempt under the same idempotency key got this far before it died
        try:
            await self._client.make_bridge(worker.address, spec_of(bridge))
        except WorkerRefused as refusal:
            await self._give_back(op, bridge)
            message = f"its worker refused it: {refusal.message[:500]}"
            raise NoSuitableWorker(
                f"The bridge was not made: {message}", details=[detail("worker_id", message)]
            ) from None
        except WorkerUnreachable as error:
            await self._give_back(op, bridge)
            sent = not isinstance(error, WorkerSilent) or error.sent
            raise WorkerUnreachable(_SENT if sent else _NOT_SENT) from None
        return await self._finish(op, bridge)

    async def _reserve(self, op: Operation, name: str, worker_id: str) -> tuple[Bridge, Worker]:
        now = op.now()
        made = Bridge(
            id=new_id("brg", op.token),
            tenant_id=op.user.tenant_id,
            name=name,
            worker_id=worker_id,
            status=BridgeStatus.CREATING,
            status_reason=None,
            created_at=now,
            updated_at=now,
        )

        async def work(db: Writer) -> tuple[Bridge, Worker]:
            worker = await workers.get(op, db, worker_id)
            if worker is None:
                raise WorkerNotFound
            if NetworkProfile.TRANSIT.value not in worker.network_profiles:
                message = "does not offer the network profile transit"
                raise NoSuitableWorker(
                    f"The worker {message}.", details=[detail("worker_id", message)]
                )
            known = await repository.get(op, db, made.id)
            if known is not None:
                return known, worker
            _check_count(made.tenant_id, await repository.count(op, db, made.tenant_id))
            await repository.add(op, db, made)
            return made, worker

        try:
            return await self._database.transaction(work)
        except IntegrityError:
            raise NameConflict(f"The tenant has a bridge {name} already.") from None

    async def _give_back(self, op: Operation, bridge: Bridge) -> None:
        async def work(db: Writer) -> bool:
            return await repository.remove(op, db, bridge.id, BridgeStatus.CREATING)

        await self._database.transaction(work)

    async def _finish(self, op: Operation, bridge: Bridge) -> Bridge:
        async def work(db: Writer) -> Bridge | None:
            await repository.change(op, db, bridge, BridgeStatus.READY)
            return await repository.get(op, db, bridge.id)

        made = await self._database.transaction(work)
        if made is None or made.status is not BridgeStatus.READY:
            raise BridgeNotFound("The bridge was deleted while it was being made.")
        return made


_SENT = (
    "The worker did not answer: it may have made the bridge. It is not kept: its name is free again, "
    "and what the worker may have made is taken down when it reports."
)
_NOT_SENT = "The worker could not be reached: nothing was done."


def _check_count(tenant_id: str, current: int) -> None:
    if current < MOST_PER_TENANT:
        return
    message = f"the tenant has {current} bridges, of {MOST_PER_TENANT}"
    raise BunkerQuotaExceeded(
        f"Quota platform maximum: {message}.",
        hint="Delete bridges that are not needed.",
        details=[
            detail(
                "bridges",
                message,
                profile="platform",
                profile_name="platform maximum",
                bucket=f"tenant:{tenant_id}",
                resource="bridges",
                current=current,
                requested=1,
                cap=MOST_PER_TENANT,
            )
        ],
    )
