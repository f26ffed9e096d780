"""What things of this worker's networks are called on the host, so that whoever finds one knows whose it is.

Interface names have at most 15 characters; each name tells the worker (a digest of its id) and the slot's number.
"""

import hashlib
import re
from dataclasses import dataclass

from scaibunker.wire.worker.network import SLOT_LINKS

LINK_PREFIX = SLOT_LINKS
NAMESPACE_PREFIX = "scaibunker-"
TAG_LENGTH = 6
MAX_NUMBER = 99_999
"""Of a slot: what fits in the name of an interface."""


@dataclass(frozen=True, slots=True)
class Names:
    """Of one worker. `tag`: six hexadecimal digits."""

    tag: str

    @classmethod
    def of(cls, worker_id: str) -> "Names":
        return cls(hashlib.sha256(worker_id.encode()).hexdigest()[:TAG_LENGTH])

    @property
    def links(self) -> str:
        """How all of its interfaces on the host begin."""
        return f"{LINK_PREFIX}{self.tag}"

    @property
    def table(self) -> str:
        """The nftables tables on the host."""
        return f"scaibunker_{self.tag}"

    @property
    def namespaces(self) -> str:
        """How all of its namespaces begin."""
        return f"{NAMESPACE_PREFIX}{self.tag}-"

    def namespace(self, number: int) -> str:
        return f"{self.namespaces}{number}"

    def link(self, number: int) -> str:
        """The host's end of the pair of slot `number`."""
        return f"{self.links}{number}"

    def number_of_namespace(self, name: str) -> int | None:
        """The number of the slot whose namespace is called that; None if it is none of this worker's."""
        return _number(self.namespaces, name)

    def number_of_link(self, name: str) -> int | None:
        return _number(self.links, name)


def _number(prefix: str, name: str) -> int | None:
    found = re.fullmatch(re.escape(prefix) + r"([0-9]{1,5})", name, re.ASCII)
    return int(found.group(1)) if found else None
