"""What the rest of the worker may ask of its networks.

A machine's network is there before the machine, and closed: nothing passes until `admit`. It is known by the name
that the host knows the machine by (its slot's, if it was prepared before anybody wanted it; else the bunker's id).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from scaibunker.wire.worker.network import NetworkOrder


@dataclass(frozen=True, slots=True)
class GuestInterface:
    """How one of its interfaces looks from inside the guest. `addresses` with prefix lengths; `gateways` at most
    one of each family; none of both on a bridge, where guests number themselves. `mtu` in bytes."""

    name: str
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """What the agent is told with the identity. `resolvers`: addresses for /etc/resolv.conf."""

    interfaces: tuple[GuestInterface, ...]
    resolvers: tuple[str, ...] = ()


class MachineNetwork(Protocol):
    """What one machine was given."""

    @property
    def guest(self) -> GuestNetwork: ...

    def open_taps(self) -> list[int]:
        """A descriptor of each interface's TAP, in the order of `guest.interfaces`, for the VMM to inherit.
        The caller closes them. Raises WorkerFault; none is open then."""
        ...

    def egress_bytes(self) -> int:
        """What the guest has sent since it was given."""
        ...


@dataclass(frozen=True, slots=True)
class Owner:
    """The bunker whose traffic it is, for the audit and for the tenant check of bridges."""

    bunker_id: str
    tenant_id: str


class Networks(Protocol):
    """Every call can be made twice; a new daemon makes them again over what the old one left."""

    @property
    def profiles(self) -> Sequence[str]:
        """Those that this host can give; `isolated` always."""
        ...

    async def take(self, name: str, owner: Owner | None, order: NetworkOrder) -> MachineNetwork:
        """Give the machine `name` a closed network; the one that it has, if it has one. `owner` None: nobody's yet,
        with a `profile` other than transit. Raises WorkerFault: profile not offered, no room, a bridge that is not
        here or another tenant's. Never called for `isolated`."""
        ...

    async def admit(self, name: str, owner: Owner, order: NetworkOrder) -> None:
        """Put the order's policy into force, in place of what was in force; traffic passes when it returns, and
        never by a policy that is half there. Raises WorkerFault; it is closed then."""
        ...

    async def give_back(self, name: str) -> None:
        """Close it and take it away; what is left of its flows has been recorded when this returns."""
        ...

    async def reclaim(self, living: Collection[str]) -> None:
        """Take away what no machine of `living` owns, whichever daemon left it."""
        ...

    async def registries_changed(self) -> None:
        """The list of what the profile `registry` permits is another one: machines that have it follow."""
        ...

    async def close(self) -> None:
        """The daemon ends. What machines have stays as it is, and in force."""
        ...
