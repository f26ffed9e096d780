"""What the rest of the worker may ask of its bridges."""

from collections.abc import Sequence
from typing import Protocol

from scaibunker.wire.worker.bridges import BridgeSpec, BridgeState


class Bridges(Protocol):
    """Every call can be made twice. They outlive the daemon, which finds them again."""

    async def make(self, spec: BridgeSpec) -> BridgeState:
        """A bridge of that id; the one that is there, if it is the same. Raises WorkerFault: not offered, no room, another one
        has the id."""
        ...

    async def remove(self, bridge_id: str) -> None:
        """Take it down; nothing if there is none. Raises WorkerFault while a machine is plugged in."""
        ...

    def get(self, bridge_id: str) -> BridgeState:
        """Raises WorkerFault if there is none."""
        ...

    async def put_away(self) -> None:
        """The daemon ends, and machines with it: nothing is left on the host but what is written down, of which the next
        daemon makes them again."""
        ...

    def all(self) -> Sequence[BridgeState]:
        """All of this worker, by id."""
        ...
