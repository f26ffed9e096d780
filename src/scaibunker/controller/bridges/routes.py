"""`/bridges`."""

from scaibunker.controller.bridges.create import CreateBridge
from scaibunker.controller.bridges.errors import BridgeInUse, BridgeNotFound
from scaibunker.controller.bridges.reading import BridgeReading
from scaibunker.controller.bridges.remove import Remove
from scaibunker.controller.bridges.resources import BRIDGE
from scaibunker.controller.bridges.view import view
from scaibunker.controller.permissions import Key
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.scheduler.errors import NoSuitableWorker
from scaibunker.controller.workers.errors import WorkerNotFound, WorkerUnreachable
from scaibunker.controller.workers.routes import WORKER
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import bridges as wire
from scaigrid.http.access import Needs
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.resources import Place
from scaigrid.http.routes import Op, Routes, many, one
from scaigrid.tenancy.errors import NameConflict

_ONE = "/{bridge_id}"


class BridgeEndpoints:
    """Make, read and delete bridges."""

    def __init__(self, create: CreateBridge, reading: BridgeReading, remove: Remove) -> None:
        self._create = create
        self._reading = reading
        self._remove = remove

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(f"{BASE_PATH}/bridges", "bridges", BRIDGE)
        admins = Needs(Key.ADMIN)
        record = one(wire.Bridge)
        routes.add(
            "POST",
            "",
            self.create_bridge,
            access=admins,
            answers=one(wire.Bridge, 201, "The bridge, ready for bunkers."),
            errors=[
                WorkerNotFound,
                NameConflict,
                BunkerQuotaExceeded,
                NoSuitableWorker,
                WorkerUnreachable,
                BridgeNotFound,
            ],
            names=[WORKER.at(Place.BODY)],
        )
        routes.add("GET", "", self.list_bridges, access=admins, answers=many(wire.Bridge))
        routes.add(
            "GET", _ONE, self.get_bridge, access=admins, answers=record, errors=[BridgeNotFound]
        )
        routes.add(
            "DELETE",
            _ONE,
            self.delete_bridge,
            access=admins,
            answers=record,
            errors=[BridgeNotFound, BridgeInUse],
        )
        return routes

    async def create_bridge(self, op: Op, body: wire.BridgeCreate) -> wire.Bridge:
        """Make a bridge of the caller's tenant on a worker. If the worker refuses it or does not answer, there is
        none."""
        op.note(worker_id=body.worker_id)
        return view(await self._create(op, body.name, body.worker_id))

    async def list_bridges(self, op: Op, page: Paged) -> Slice[wire.Bridge]:
        """List the tenant's bridges, newest first."""
        return (await self._reading.listing(op, page)).map(view)

    async def get_bridge(self, op: Op, bridge_id: str) -> wire.Bridge:
        """Read one bridge."""
        return view(await self._reading.get(op, bridge_id))

    async def delete_bridge(self, op: Op, bridge_id: str) -> wire.Bridge:
        """Delete a bridge that no bunker is plugged into; the answer is what it was last. While its worker does not
        answer it stays `deleting`, and its name taken; the worker is asked again until it answers, or counts as
        lost."""
        return view(await self._remove(op, bridge_id))
