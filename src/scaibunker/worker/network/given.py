"""A slot that a machine has been given, as the machine sees it."""

import contextlib
import os
from dataclasses import dataclass, field

from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.network import slot as slots
from scaibunker.worker.network.facts import SlotFacts
from scaibunker.worker.network.policy import Policy
from scaibunker.worker.network.port import GuestInterface, GuestNetwork, Owner
from scaibunker.worker.network.slot import Slot

GUEST_INTERFACE = "eth0"


@dataclass
class SlotNetwork:
    """A `MachineNetwork`. `mbit`: the limit in force, None if an earlier daemon set it; `policy`: that which this
    daemon has put into force; `served`: by which sockets the gateway serves it; `untouched`: nothing was in force since it
    was made; `adopted`: an earlier daemon gave it; `prepared`: no bunker has it yet. `owner`,
    `order`: of the last time that it was admitted."""

    slot: Slot
    mbit: int | None
    adopted: bool = False
    prepared: bool = False
    untouched: bool = False
    policy: Policy | None = None
    served: str | None = None
    owner: Owner | None = None
    order: NetworkOrder | None = None
    counters: int | None = field(default=None, repr=False)
    closed: bool = False

    @property
    def guest(self) -> GuestNetwork:
        return guest_network(self.slot.facts)

    def open_taps(self) -> list[int]:
        return [slots.open_tap(self.slot)]

    def egress_bytes(self) -> int:
        if self.closed:
            return 0
        if self.counters is None:
            self.counters = slots.open_counters(self.slot)
        return slots.bytes_received(self.counters, self.slot.facts.tap)

    def close(self) -> None:
        """Nothing of the namespace is held any more. Idempotent."""
        self.closed = True
        if self.counters is not None:
            with contextlib.suppress(OSError):
                os.close(self.counters)
            self.counters = None


def guest_network(facts: SlotFacts) -> GuestNetwork:
    """What every guest with a slot is told, whichever it has."""
    gateways = (str(facts.gateway_v4), str(facts.gateway_v6))
    interface = GuestInterface(
        name=GUEST_INTERFACE,
        mac=facts.guest_mac,
        mtu=facts.mtu,
        addresses=(str(facts.guest_v4), str(facts.guest_v6)),
        gateways=gateways,
    )
    return GuestNetwork((interface,), resolvers=gateways)
