"""The bridges of a simulated host: names, to which nothing is plugged in. They outlive the daemon, as real ones do."""

from collections.abc import Callable, Sequence

from scaibunker.wire.codes import Code
from scaibunker.wire.worker.bridges import BridgeSpec, BridgeState
from scaibunker.worker.errors import BridgeInUse, BridgeNotFound, WorkerFault


class SimulatedBridges:
    """A `Bridges`, as one daemon holds those of its host: `made`, by id. `plugged` counts what is plugged into one. `check` is called
    before anything is done."""

    def __init__(
        self,
        made: dict[str, BridgeSpec],
        plugged: Callable[[str], int],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._made = made
        self._plugged = plugged
        self._check = check

    async def make(self, spec: BridgeSpec) -> BridgeState:
        self._check()
        if self._made.setdefault(spec.bridge_id, spec) != spec:
            raise WorkerFault("a bridge of that id is something else", Code.NAME_CONFLICT)
        return self.get(spec.bridge_id)

    async def remove(self, bridge_id: str) -> None:
        self._check()
        if self._plugged(bridge_id):
            raise BridgeInUse(f"machines are plugged into the bridge {bridge_id}")
        self._made.pop(bridge_id, None)

    def get(self, bridge_id: str) -> BridgeState:
        self._check()
        if bridge_id not in self._made:
            raise BridgeNotFound(f"this worker has no bridge {bridge_id}")
        spec = self._made[bridge_id]
        return BridgeState(**spec.model_dump(), ports=self._plugged(bridge_id))

    async def put_away(self) -> None:
        """There is nothing to put away."""

    def all(self) -> Sequence[BridgeState]:
        return [self.get(bridge_id) for bridge_id in sorted(self._made)]
