"""All networks that this host gives, put together: who gives which profile, and what they share."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

import structlog

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.codes import Code
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.lookout import Lookout
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.network.port import MachineNetwork, Networks, Owner
from scaibunker.worker.network.routed import RoutedNetworks
from scaibunker.worker.network.vicinity import Vicinity

log = structlog.get_logger(__name__)


class HostNetworks:
    """A `Networks`. `others` give the profiles that have no slot. `peers` are told of our own addresses, and
    their changes are followed. `surround` says what the gateway is told, as it is now. `start` first."""

    def __init__(
        self,
        routed: RoutedNetworks,
        others: Sequence[Networks],
        gateway: GatewayClient,
        vicinity: Vicinity,
        peers: Peers,
        surround: Callable[[Never], Surroundings],
    ) -> None:
        self._routed = routed
        self._parts: tuple[Networks, ...] = (routed, *others)
        self._gateway = gateway
        self._vicinity = vicinity
        self._peers = peers
        self._surround = surround
        self._surroundings: Surroundings | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self.lookout = Lookout(self._gather, self._renew)
        peers.own = lambda: vicinity.own
        peers.changed = self.lookout.hint

    @property
    def profiles(self) -> Sequence[str]:
        given = [profile for part in self._parts for profile in part.profiles]
        return (NetworkProfile.ISOLATED.value, *given)

    async def start(self) -> None:
        """Raises WorkerFault if this host cannot give networks; what machines have stays, and in force."""
        never = await self.lookout.look()
        await self._routed.start()
        self._gateway.start()
        await self.lookout.start()
        self._tell_gateway(never)

    async def take(self, name: str, owner: Owner | None, order: NetworkOrder) -> MachineNetwork:
        return await self._part(order).take(name, owner, order)

    async def admit(self, name: str, owner: Owner, order: NetworkOrder) -> None:
        await self._part(order).admit(name, owner, order)

    async def give_back(self, name: str) -> None:
        for part in self._parts:
            await part.give_back(name)

    async def reclaim(self, living: Collection[str]) -> None:
        for part in self._parts:
            await part.reclaim(living)

    async def registries_changed(self) -> None:
        """The list of registries is another one: machines with the profile `registry` follow it."""
        await self._routed.registries_changed()

    async def close(self) -> None:
        for task in list(self._telling):
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        await self.lookout.close()
        for part in self._parts:
            with contextlib.suppress(WorkerFault):  # the next daemon finds what is left
                await part.close()
        if self._routed.given:
            await self._gateway.close()  # it serves them while there is no daemon
        else:
            await self._gateway.stop()

    def _part(self, order: NetworkOrder) -> Networks:
        for part in self._parts:
            if order.profile in part.profiles:
                return part
        raise WorkerFault(
            f"this worker gives no network of the profile {order.profile}", Code.WORKER_UNAVAILABLE
        )

    async def _gather(self) -> Never:
        self._vicinity.set_peers(self._peers.addresses)
        never = await self._vicinity.gather()
        said = self._surroundings
        if said is not None and said.upstreams != self._surround(never).upstreams:
            self._tell_gateway(never)
        if said is not None:  # it has been started
            await self._routed.uphold()
        return never

    async def _renew(self, never: Never) -> None:
        self._tell_gateway(never)
        await self._routed.renew()

    def _tell_gateway(self, never: Never) -> None:
        """One that cannot be reached is told when it can."""
        self._surroundings = self._surround(never)
        task = asyncio.create_task(self._tell(self._surroundings))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, surroundings: Surroundings) -> None:
        try:
            await self._gateway.surroundings(surroundings)
        except WorkerFault as fault:
            log.warning("gateway_not_told", reason=fault.message)
