"""Networks of `transit` machines: a port of a bridge for each of their interfaces.

The worker's own check of tenants is here: a machine of one tenant gets no port of another's bridge, whatever the controller
says.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.codes import Code
from scaibunker.wire.worker.network import InterfaceOrder, NetworkOrder
from scaibunker.worker.errors import BridgeNotFound, WorkerFault
from scaibunker.worker.network import netns, taps
from scaibunker.worker.network.bridges import layout
from scaibunker.worker.network.bridges.host import HostBridges
from scaibunker.worker.network.bridges.names import machine_part, port_of, ports_of
from scaibunker.worker.network.port import GuestInterface, GuestNetwork, Owner

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Port:
    """One interface of a machine. `namespace` is its bridge's."""

    interface: InterfaceOrder
    name: str
    namespace: str


class TransitNetwork:
    """A `MachineNetwork`."""

    def __init__(self, ports: Sequence[Port]) -> None:
        self._ports = tuple(ports)

    @property
    def guest(self) -> GuestNetwork:
        return GuestNetwork(
            tuple(
                GuestInterface(port.interface.if_name, port.interface.mac, layout.MTU)
                for port in self._ports
            )
        )

    def open_taps(self) -> list[int]:
        opened: list[int] = []
        try:
            opened.extend(
                netns.inside_now(port.namespace, partial(taps.attach, port.name))
                for port in self._ports
            )
        except (OSError, WorkerFault) as error:
            for descriptor in opened:
                os.close(descriptor)
            raise WorkerFault(f"cannot open a port of a bridge: {error}") from error
        return opened

    def egress_bytes(self) -> int:
        by_namespace: dict[str, list[str]] = {}
        for port in self._ports:
            by_namespace.setdefault(port.namespace, []).append(port.name)
        try:
            return sum(
                netns.inside_now(namespace, partial(layout.sent_bytes, names))
                for namespace, names in by_namespace.items()
            )
        except (OSError, WorkerFault):  # the bridge is gone, and with it what counted
            return 0


class TransitNetworks:
    """A `Networks`, of machines with the profile `transit`."""

    profiles = (NetworkProfile.TRANSIT.value,)

    def __init__(self, bridges: HostBridges, bandwidth_mbit: int) -> None:
        self._bridges = bridges
        self._bandwidth_mbit = bandwidth_mbit

    async def take(self, name: str, owner: Owner | None, order: NetworkOrder) -> TransitNetwork:
        """Closed ports, of bridges of the owner's tenant. Raises WorkerFault; then there are none."""
        if owner is None:
            raise WorkerFault(f"nobody's machine {name} is on no bridge")
        self._check(owner, order)
        mbit = self._mbit(order)
        ports = []
        try:
            for index, interface in enumerate(order.interfaces):
                port = port_of(name, index)
                async with self._bridges.held(interface.bridge_id) as namespace:
                    self._bridges.plugged(interface.bridge_id, port)
                    await netns.inside(namespace, partial(layout.make_port, port, mbit))
                ports.append(Port(interface, port, namespace))
        except BaseException:
            await self.give_back(name)
            raise
        return TransitNetwork(ports)

    async def admit(self, name: str, owner: Owner, order: NetworkOrder) -> None:
        """Frames pass when it returns. Raises WorkerFault; none passes then."""
        self._check(owner, order)
        mbit = self._mbit(order)
        try:
            for index, interface in enumerate(order.interfaces):
                port = port_of(name, index)
                async with self._bridges.held(interface.bridge_id) as namespace:
                    opened = partial(layout.open_port, port, interface, mbit)
                    await netns.inside(namespace, opened)
        except BaseException:
            await self._close(name)
            raise

    async def give_back(self, name: str) -> None:
        """Close its ports and take them away. Raises WorkerFault."""
        for bridge_id, port in self._ports_of(name):
            await self._drop(bridge_id, port)

    async def reclaim(self, living: Collection[str]) -> None:
        """Take away the ports of machines that are not among these."""
        kept = {ports_of(name) for name in living}
        for bridge_id, ports in self._bridges.ports().items():
            for port in sorted(ports):
                if machine_part(port) not in kept:
                    log.warning("port_reclaimed", bridge_id=bridge_id, port=port)
                    await self._drop(bridge_id, port)

    async def registries_changed(self) -> None:
        """Bridges know of none."""

    async def close(self) -> None:
        """Bridges and ports stay as they are."""

    def _check(self, owner: Owner, order: NetworkOrder) -> None:
        if not order.interfaces:
            raise WorkerFault("interfaces: transit needs at least one", Code.VALIDATION_ERROR)
        for interface in order.interfaces:
            if not self._bridges.belongs_to(interface.bridge_id, owner.tenant_id):
                raise BridgeNotFound(
                    f"this worker has no bridge {interface.bridge_id} of the machine's tenant"
                )

    def _mbit(self, order: NetworkOrder) -> int:
        return order.bandwidth_mbit or self._bandwidth_mbit

    def _ports_of(self, name: str) -> list[tuple[str, str]]:
        own = ports_of(name)
        return [
            (bridge_id, port)
            for bridge_id, ports in self._bridges.ports().items()
            for port in sorted(ports)
            if machine_part(port) == own
        ]

    async def _close(self, name: str) -> None:
        for bridge_id, port in self._ports_of(name):
            async with self._bridges.held(bridge_id) as namespace:
                await netns.inside(namespace, partial(layout.close_port, port))

    async def _drop(self, bridge_id: str, port: str) -> None:
        async with self._bridges.held(bridge_id) as namespace:
            if await _is_there(namespace):  # else the port is gone with it
                await netns.inside(namespace, partial(layout.drop_port, port))
            self._bridges.unplugged(bridge_id, port)


async def _is_there(namespace: str) -> bool:
    try:
        await netns.inside(namespace, lambda: None)
    except WorkerFault:
        return False
    return True
