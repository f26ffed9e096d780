"""Addresses that no bunker may reach, whatever a name says that it stands for."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from scaibunker.worker.network.policy import Passage

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


METADATA = networks(
    "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "fd00:ec2::/32", "fd20:ce::254", "fd00:42::42", "fd00:c1::a9fe:a9fe",
)  # fmt: skip
"""Where clouds tell a machine who it is, besides the link-local addresses: of Alibaba, Azure, Oracle, AWS, Google, Scaleway and
Oracle again. Some lie in ranges that are open otherwise."""
NOWHERE = (
    *networks(
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/128", "::1/128", "fe80::/10", "fec0::/10", "ff00::/8",
    ),
    *METADATA,
)  # fmt: skip
"""This host, links, metadata services, groups, and what is no address of a machine: closed for all."""
PRIVATE = networks(
    "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "fc00::/7"
)
"""What a name of the outside has no business to stand for: closed with NAMED, unless the operator permits it."""
WRAPPED = networks(
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "2001::/32",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "::/96",
)
"""Forms of IPv6 that carry an address of IPv4, by which a forbidden one could be reached: closed for all."""


@dataclass(frozen=True, slots=True)
class Never:
    """`vicinity`: addresses of this worker, its slots, its peers and the controller, closed for all. `permitted`: ranges
    of the operator, which open what PRIVATE closes, and nothing else."""

    vicinity: tuple[Network, ...] = ()
    permitted: tuple[Network, ...] = ()
    _alone: frozenset[Address] = field(init=False, repr=False, compare=False, default=frozenset())
    _ranges: tuple[Network, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        # Most of the vicinity are single hosts, tens of thousands of them in a large deployment.
        alone = frozenset(n.network_address for n in self.vicinity if _is_alone(n))
        object.__setattr__(self, "_alone", alone)
        object.__setattr__(self, "_ranges", tuple(n for n in self.vicinity if not _is_alone(n)))

    def forbids(self, address: Address, passage: Passage) -> bool:
        if (
            _within(address, NOWHERE)
            or _within(address, WRAPPED)
            or address in self._alone
            or _within(address, self._ranges)
        ):
            return True
        if passage is Passage.OPEN:
            return False
        return _within(address, PRIVATE) and not _within(address, self.permitted)


def _is_alone(network: Network) -> bool:
    return network.prefixlen == network.max_prefixlen


def _within(address: Address, ranges: Iterable[Network]) -> bool:
    return any(address.version == r.version and address in r for r in ranges)
