"""A bunker's network as its worker is ordered to make it."""

from dataclasses import replace

from scaibunker.controller.bunkers.domain import Network
from scaibunker.controller.workers import repository as workers
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import InterfaceOrder, NetworkOrder
from scaigrid.db import Reader
from scaigrid.operation import Operation


async def settled(op: Operation, db: Reader, network: Network, worker_id: str) -> Network:
    """With the bandwidth that is in force where it is placed: once it is in the row it is part of every order, so
    that it stays true whatever a worker's default becomes."""
    if network.profile is NetworkProfile.ISOLATED or network.bandwidth_mbit is not None:
        return network
    default = await workers.default_bandwidth(op, db, worker_id)
    return replace(network, bandwidth_mbit=default)


def order_of(network: Network) -> NetworkOrder | None:
    """None for `isolated`: no device, and nothing to order."""
    if network.profile is NetworkProfile.ISOLATED:
        return None
    return NetworkOrder(
        profile=network.profile,
        allowlist=list(network.allowlist or ()),
        bandwidth_mbit=network.bandwidth_mbit,
        interfaces=[
            InterfaceOrder(
                if_name=entry["if_name"],
                bridge_id=entry["bridge_id"],
                mac=entry["mac"],
                spoof_guard=entry["spoof_guard"],
            )
            for entry in network.interfaces or ()
        ],
    )
