"""Which transfer addresses a slot has: its number says it."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from scaibunker.worker.network.facts import SlotFacts
from scaibunker.worker.network.naming import MAX_NUMBER

EACH = 2
"""Addresses of each family to a slot: the host's, which is even, and the slot's."""


@dataclass(frozen=True, slots=True)
class Ranges:
    v4: IPv4Network
    v6: IPv6Network

    @property
    def last(self) -> int:
        """The highest number of a slot; they begin with 1."""
        return min(self.v4.num_addresses // EACH, self.v6.num_addresses // EACH, MAX_NUMBER + 1) - 1

    def collide_with(self, other: "Ranges") -> bool:
        """Whether the same address might be given out for two numbers."""
        same = self.v4[0] == other.v4[0] and self.v6[0] == other.v6[0]
        return not same and (self.v4.overlaps(other.v4) or self.v6.overlaps(other.v6))

    def facts(self, number: int, mtu: int, max_flows: int) -> SlotFacts:
        """Of slot `number`. Raises IndexError beyond `last`."""
        if not 1 <= number <= self.last:
            raise IndexError(number)
        first = EACH * number
        return SlotFacts(
            transfer_v4=self.v4[first + 1],
            transfer_v6=self.v6[first + 1],
            host_transfer_v4=self.v4[first],
            host_transfer_v6=self.v6[first],
            mtu=mtu,
            max_flows=max_flows,
        )
