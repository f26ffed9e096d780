"""How parts of the gateway learn the addresses of a name, to dial it themselves."""

import ipaddress
from typing import Protocol

from scaibunker.worker.gateway.attachment import Attachment

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unresolved(Exception):
    """The name has no address that may be dialled: `reason` says why, in words for a log, without the name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Lookup(Protocol):
    async def addresses(self, name: str, attachment: Attachment) -> list[Address]:
        """Where `name` (any case, with or without a final dot) is now, as the upstreams say: those of IPv4 first, each
        family in their order; at least one, none that `Never` forbids to the attachment's policy.

        Counted against the attachment's own bounds, and kept for it alone. With NAMED, names that the policy does not
        permit are asked of nobody. Ends within 10 s. Raises Unresolved.
        """
        ...
