"""The networks of a host that has none to give: every machine on it is `isolated`."""

from collections.abc import Collection

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.codes import Code
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.port import MachineNetwork, Owner


class NoNetworks:
    """A `Networks`."""

    profiles = (NetworkProfile.ISOLATED.value,)

    async def take(self, name: str, owner: Owner | None, order: NetworkOrder) -> MachineNetwork:  # noqa: ARG002
        raise _lacks(name, order)

    async def admit(self, name: str, owner: Owner, order: NetworkOrder) -> None:  # noqa: ARG002
        raise _lacks(name, order)

    async def give_back(self, name: str) -> None:
        """There is none."""

    async def reclaim(self, living: Collection[str]) -> None:
        """There is none."""

    async def registries_changed(self) -> None:
        """There is none."""

    async def close(self) -> None:
        """There is none."""


def _lacks(name: str, order: NetworkOrder) -> WorkerFault:
    return WorkerFault(
        f"this worker has no network of the profile {order.profile} for {name}",
        Code.WORKER_UNAVAILABLE,
    )
