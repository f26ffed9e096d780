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
from scaibunker.worker.network.bridges.transit import TransitNetworks
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
    ) -> Plug:
        """A machine with one interface on the bridge LAN."""
        self._count += 1
        machine = name or f"bnk_{self._count}"
        order = self.order(mac or f"02:00:00:00:00:{self._count:02x}", guard=guard, mbit=mbit)
        network = await self.networks.take(machine, self.owner(), order)
        if admitted:
            await self.networks.admit(machine, self.owner(), order)
        plugs = Plugs(network)
        self._open.append(plugs)
        port, namespace = port_of(machine, 0), namespace_of(self.names, LAN)
        # The kernel notices in its own time that somebody has the other end; until then it drops what is for it.
        await until(lambda: "state UP" in ip("-n", namespace, "link", "show", port))
        return plugs[0]

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
