"""A bunker's network as its worker is ordered to make it."""

from scaibunker.controller.bunkers.domain import Network
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import InterfaceOrder, NetworkOrder


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
