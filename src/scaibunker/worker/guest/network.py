"""What an agent is told of the network that its machine was given."""

from dataclasses import asdict

from scaibunker.wire.guest import network as wire
from scaibunker.worker.network.port import GuestNetwork


def told(network: GuestNetwork) -> wire.GuestNetwork:
    """The same, in the form of the wire."""
    return wire.GuestNetwork.model_validate(asdict(network))
