"""A worker's bridges, and machines on them that are the test itself."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.bridges import BridgeSpec
from scaibunker.wire.worker.network import InterfaceOrder, NetworkOrder
from scaibunker.worker.network import netns
from scaibunker.worker.network.bridges.host import HostBridges
from scaibunker.worker.network.bridges.names import (
    namespace_of,
    namespace_prefix,
    port_of,
)
from scaibunker.worker.network.bridges.records import Records
from scaibunker.worker.network.bridges.transit import TransitNetwork, TransitNetworks
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.port import Owner
from tests.host.bridged.plugs import Plug, Plugs
from tests.host.lab.namespaces import ip
from tests.waiting import until

TENANT = "ten_1"
LAN = "brg_0lan"


class Yard:
    """`restart` is what a new daemon does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = Names.of(f"wrk_{secrets.token_hex(8)}")
        self.bridges: HostBridges
        self.networks: TransitNetworks
        self._open: list[Plugs] = []
        self._count = 0

    async def restart(self) -> None:
        self.bridges = HostBridges(Records(self.folder), self.names)
        self.networks = TransitNetworks(self.bridges, 1000)
        await self.bridges.find()

    async def bridge(self, bridge_id: str = LAN, tenant: str = TENANT) -> None:
        name = bridge_id.removeprefix("brg_")
        await self.bridges.make(BridgeSpec(bridge_id=bridge_id, tenant_id=tenant, name=name))

    async def plug(
        self,
        name: str = "",
        *,
        guard: bool = True,
        mac: str = "",
        admitted: bool = True,
        mbit: int | None = None,
        bridge_id: str = LAN,
    ) -> Plug:
        """A machine with one interface."""
        self._count += 1
        machine = name or f"bnk_{self._count}"
        order = self.order(mac or f"02:00:00:00:00:{self._count:02x}", guard=guard, mbit=mbit)
        order = _on(order, bridge_id)
        network = await self.networks.take(machine, self.owner(), order)
        if admitted:
            await self.networks.admit(machine, self.owner(), order)
        return (await self._plugs(machine, network, order))[0]

    async def appliance(self, name: str, *bridge_ids: str) -> Plugs:
        """A machine with an interface on each bridge, all without guard."""
        self._count += 1
        macs = [f"02:00:00:01:{self._count:02x}:{n:02x}" for n, _ in enumerate(bridge_ids)]
        order = _on(self.order(*macs, guard=False), *bridge_ids)
        network = await self.networks.take(name, self.owner(), order)
        await self.networks.admit(name, self.owner(), order)
        return await self._plugs(name, network, order)

    async def _plugs(self, machine: str, network: TransitNetwork, order: NetworkOrder) -> Plugs:
        plugs = Plugs(network)
        self._open.append(plugs)
        for index, interface in enumerate(order.interfaces):
            port, namespace = port_of(machine, index), namespace_of(self.names, interface.bridge_id)
            # The kernel notices in its own time that somebody has the other end; until then it drops what is for it.
            await until(lambda p=port, n=namespace: "state UP" in ip("-n", n, "link", "show", p))  # type: ignore[misc]
        return plugs

    def order(
        self, *macs: str, guard: bool = True, mbit: int | None = None, bridge_id: str = LAN
    ) -> NetworkOrder:
        return NetworkOrder(
            profile=NetworkProfile.TRANSIT,
            bandwidth_mbit=mbit,
            interfaces=[
                InterfaceOrder(
                    if_name=f"eth{index}", bridge_id=bridge_id, mac=mac, spoof_guard=guard
                )
                for index, mac in enumerate(macs)
            ],
        )

    def owner(self, tenant: str = TENANT) -> Owner:
        return Owner("bnk_1", tenant)

    def namespaces(self) -> list[str]:
        return [name for name in netns.names() if name.startswith(namespace_prefix(self.names))]

    def close(self) -> None:
        for plugs in self._open:
            plugs.__exit__(None, None, None)
        for name in self.namespaces():
            netns.remove(name)


def _on(order: NetworkOrder, *bridge_ids: str) -> NetworkOrder:
    """The same with its interfaces on these."""
    moved = [
        interface.model_copy(update={"bridge_id": bridge_id})
        for interface, bridge_id in zip(order.interfaces, bridge_ids, strict=True)
    ]
    return order.model_copy(update={"interfaces": moved})


@contextlib.asynccontextmanager
async def yard(folder: Path) -> AsyncIterator[Yard]:
    """One with the bridge LAN; nothing is left of it."""
    made = Yard(folder)
    try:
        await made.restart()
        await made.bridge()
        yield made
    finally:
        made.close()
