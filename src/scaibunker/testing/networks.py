"""The networks of a simulated host: who has one, and what is in force for it. They outlive the daemon, as real ones do."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.codes import Code
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.port import GuestInterface, GuestNetwork, Owner

ROUTED = GuestNetwork(
    interfaces=(
        GuestInterface(
            name="eth0",
            mac="02:00:00:00:00:02",
            mtu=1500,
            addresses=("192.0.2.2/30", "2001:db8::2/64"),
            gateways=("192.0.2.1", "2001:db8::1"),
        ),
    ),
    resolvers=("192.0.2.1", "2001:db8::1"),
)
"""What the guest of every routed machine has."""


@dataclass
class SimulatedNetwork:
    """One machine's; a `MachineNetwork`. `in_force` is None while it is closed. `sent_bytes` may be set."""

    guest: GuestNetwork
    owner: Owner | None
    order: NetworkOrder
    in_force: NetworkOrder | None = None
    sent_bytes: int = 0

    def open_taps(self) -> list[int]:
        return [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in self.guest.interfaces]

    def egress_bytes(self) -> int:
        return self.sent_bytes


class SimulatedNetworks:
    """A `Networks`, as one daemon holds those of its host: `given`, by the machines' names. `check` is called before anything is done; `refuses` may be set to what `take` or `admit` fail with."""

    def __init__(
        self,
        profiles: Sequence[str],
        given: dict[str, SimulatedNetwork],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.profiles = profiles
        self.given = given
        self.refuses: dict[str, WorkerFault] = {}
        self._check = check

    async def take(self, name: str, owner: Owner | None, order: NetworkOrder) -> SimulatedNetwork:
        self._do("take", order)
        network = self.given.get(name)
        if network is None:
            network = self.given[name] = SimulatedNetwork(_guest(order), owner, order)
        return network

    async def admit(self, name: str, owner: Owner, order: NetworkOrder) -> None:
        network = self.given[name]
        try:
            self._do("admit", order)
        except WorkerFault:
            network.in_force = None
            raise
        network.owner, network.in_force = owner, order

    async def give_back(self, name: str) -> None:
        self._check()
        self.given.pop(name, None)

    async def reclaim(self, living: Collection[str]) -> None:
        self._check()
        for name in self.given.keys() - set(living):
            del self.given[name]

    async def registries_changed(self) -> None:
        self._check()

    async def close(self) -> None:
        """What machines have stays."""

    def _do(self, what: str, order: NetworkOrder) -> None:
        self._check()
        if what in self.refuses:
            raise self.refuses[what]
        if order.profile not in self.profiles:
            message = f"this worker offers no network of the profile {order.profile}"
            raise WorkerFault(message, Code.WORKER_UNAVAILABLE)


def _guest(order: NetworkOrder) -> GuestNetwork:
    if order.profile is not NetworkProfile.TRANSIT:
        return ROUTED
    return GuestNetwork(
        tuple(GuestInterface(name=i.if_name, mac=i.mac, mtu=1500) for i in order.interfaces)
    )
