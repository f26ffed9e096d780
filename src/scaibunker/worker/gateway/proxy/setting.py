"""What all connections of an attachment have in common."""

from collections.abc import Callable
from dataclasses import dataclass

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.lookup import Lookup
from scaibunker.worker.gateway.proxy.limits import Limits
from scaibunker.worker.gateway.proxy.room import Room
from scaibunker.worker.gateway.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Setting:
    """`permit` says whether a name is, now."""

    attachment: Attachment
    surroundings: Surroundings
    lookup: Lookup
    limits: Limits
    room: Room
    permit: Callable[[str], bool]
