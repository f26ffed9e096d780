"""What of a worker's slots is on the host, by the names that it has there."""

from scaibunker.worker.network import links, netns
from scaibunker.worker.network.naming import Names


def numbers(names: Names) -> set[int]:
    """Of slots of which there is a namespace or an interface, whatever is written down of them."""
    found = {names.number_of_namespace(name) for name in netns.names()}
    found |= {names.number_of_link(name) for name in links.names()}
    return {number for number in found if number is not None}
