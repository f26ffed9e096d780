"""The bridges of a host that can have none."""

from collections.abc import Sequence

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.bridges import BridgeSpec, BridgeState
from scaibunker.worker.errors import BridgeNotFound, WorkerFault


class NoBridges:
    """A `Bridges`."""

    async def make(self, spec: BridgeSpec) -> BridgeState:
        raise WorkerFault(f"this worker can have no bridge {spec.name}", Code.WORKER_UNAVAILABLE)

    async def remove(self, bridge_id: str) -> None:
        """There is none."""

    def get(self, bridge_id: str) -> BridgeState:
        raise BridgeNotFound(f"this worker has no bridge {bridge_id}")

    async def put_away(self) -> None:
        """There is none."""

    def all(self) -> Sequence[BridgeState]:
        return ()
