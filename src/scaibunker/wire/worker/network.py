"""The network of a machine, as the controller orders it. Source: the product contract, §8."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.bounds import Reference

MAX_ALLOWLIST = 256
MAX_INTERFACES = 8
MAX_REGISTRY_HOSTS = 256
MAX_WORKER_ADDRESSES = 32
SLOT_LINKS = "sbk"
"""How the names of interfaces begin that lead to machines, on a worker's host."""
MIN_BANDWIDTH_MBIT = 1
MAX_BANDWIDTH_MBIT = 10_000

InterfaceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,14}$")]
MacAddress = Annotated[str, Field(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
HostPattern = Annotated[str, Field(min_length=1, max_length=255)]
BandwidthMbit = Annotated[int, Field(ge=MIN_BANDWIDTH_MBIT, le=MAX_BANDWIDTH_MBIT)]


def _canonical(value: str) -> str:
    address = ipaddress.ip_address(value)
    if getattr(address, "scope_id", None):
        raise ValueError("must not name an interface")
    return str(address)


AddressText = Annotated[str, Field(max_length=45), AfterValidator(_canonical)]
"""An IPv4 or IPv6 address, in its one form."""


def _canonical_range(value: str) -> str:
    if "/" not in value:  # most of tens of thousands
        return _canonical(value)
    network = ipaddress.ip_network(value)
    alone = network.prefixlen == network.max_prefixlen
    return str(network.network_address if alone else network)


RangeText = Annotated[str, Field(max_length=49), AfterValidator(_canonical_range)]
"""An address, or a range with its prefix length, in its one form."""


class InterfaceOrder(BaseModel):
    """One attachment of a `transit` machine. `spoof_guard`: frames whose source is not `mac` are dropped."""

    model_config = ConfigDict(extra="forbid")

    if_name: InterfaceName
    bridge_id: Reference
    mac: MacAddress
    spoof_guard: bool = True


class NetworkOrder(BaseModel):
    """`allowlist` with the profile `allowlisted` only, normalised; `interfaces` with `transit` only.
    `bandwidth_mbit` None: the worker's default."""

    model_config = ConfigDict(extra="forbid")

    profile: NetworkProfile
    allowlist: Annotated[list[HostPattern], Field(max_length=MAX_ALLOWLIST)] = Field(
        default_factory=list
    )
    bandwidth_mbit: BandwidthMbit | None = None
    interfaces: Annotated[list[InterfaceOrder], Field(max_length=MAX_INTERFACES)] = Field(
        default_factory=list
    )
