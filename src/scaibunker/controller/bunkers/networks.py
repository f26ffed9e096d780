"""A bunker's network as its worker is ordered to make it."""

from scaibunker.controller.bunkers.domain import Network
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder


def order_of(network: Network) -> NetworkOrder | None:
    """None for `isolated`: no device, and nothing to order."""
    if network.profile is NetworkProfile.ISOLATED:
        return None
    return NetworkOrder(
        profile=network.profile,
        allowlist=list(network.allowlist or ()),
        bandwidth_mbit=network.bandwidth_mbit,
    )
