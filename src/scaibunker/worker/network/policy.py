"""What a machine's profile means on this worker: the one thing that rules, resolver and proxy are made of.

A policy is data. `rules.py` makes the ruleset of it, the gateway its parts; neither looks at an order.
"""

from dataclasses import dataclass
from enum import StrEnum

from scaibunker.wire.worker.network import InterfaceOrder


class Passage(StrEnum):
    """How traffic leaves."""

    CLOSED = "closed"  # not at all
    NAMED = "named"  # through resolver and proxy of the gateway: `registry`, `allowlisted`
    OPEN = "open"  # forwarded, but for what no bunker may reach: `unrestricted`
    BRIDGED = "bridged"  # frames, to bridges of the own tenant: `transit`


@dataclass(frozen=True, slots=True)
class Policy:
    """`names`: patterns that may be resolved and reached with NAMED, as `gateway.names` reads them. `audited`: a
    record of each flow is kept. `interfaces` with BRIDGED only."""

    passage: Passage
    bandwidth_mbit: int
    names: tuple[str, ...] = ()
    audited: bool = False
    interfaces: tuple[InterfaceOrder, ...] = ()


CLOSED = Policy(Passage.CLOSED, bandwidth_mbit=1)
