"""Reading bridges."""

from scaibunker.controller.bridges import repository
from scaibunker.controller.bridges.domain import Bridge
from scaibunker.controller.bridges.errors import BridgeNotFound
from scaigrid.db import Database
from scaigrid.http.paging import PageRequest, Slice
from scaigrid.operation import Operation


class BridgeReading:
    """What a caller sees of bridges."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, op: Operation, bridge_id: str) -> Bridge:
        """The bridge. Raises BridgeNotFound."""
        async with self._database.read() as db:
            bridge = await repository.get(op, db, bridge_id)
        if bridge is None:
            raise BridgeNotFound
        return bridge

    async def listing(self, op: Operation, page: PageRequest) -> Slice[Bridge]:
        """Bridges that the caller may reach, newest first."""
        async with self._database.read() as db:
            return await repository.listing(op, db, page)
