"""The bridges of a simulated worker, which are names alone."""

from scaibunker.wire.worker.bridges import BridgeSpec, BridgeState


class SimulatedBridges:
    """`known` by id. `asked` has each order, `removed` each removal, in their order; `in_use` are not taken down."""

    def __init__(self) -> None:
        self.known: dict[str, BridgeSpec] = {}
        self.asked: list[str] = []
        self.removed: list[str] = []
        self.in_use: set[str] = set()

    def make(self, spec: BridgeSpec) -> BridgeState | None:
        """None if there is one of that id that is something else."""
        self.asked.append(spec.bridge_id)
        if self.known.setdefault(spec.bridge_id, spec) != spec:
            return None
        return BridgeState(**spec.model_dump())

    def remove(self, bridge_id: str) -> bool:
        """False if it is in use."""
        self.removed.append(bridge_id)
        if bridge_id in self.in_use:
            return False
        self.known.pop(bridge_id, None)
        return True
