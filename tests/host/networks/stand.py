"""A worker's routed networks on this host, with names, ranges and claims of their own."""

import contextlib
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.port import OpenSockets
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network import links, netns, nft
from scaibunker.worker.network.claims import Claims
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.nft_enforcer import NftEnforcer
from scaibunker.worker.network.policy import Policy
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.routed import RoutedNetworks, Terms
from scaibunker.worker.network.slot import Checkpoint, unobserved

RANGES = Ranges(IPv4Network("10.234.0.0/20"), IPv6Network("fd5c:a1ba:7e57::/64"))
BANDWIDTH_MBIT = 100
POOL_SIZE = 2
NEVER = Never()


class NotingGateway:
    """A `Gateway` that holds sockets and does nothing with them."""

    spools = Path("/nonexistent")

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, Policy, Sockets]] = {}
        self.calls: list[tuple[str, str]] = []

    async def attach(
        self, name: str, bunker_id: str, policy: Policy, open_sockets: OpenSockets
    ) -> None:
        self.calls.append(("attach", name))
        sockets = self.held[name][2] if name in self.held else await open_sockets()
        self.held[name] = (bunker_id, policy, sockets)

    async def change(self, name: str, bunker_id: str, policy: Policy) -> None:
        self.held[name] = (bunker_id, policy, self.held[name][2])

    async def detach(self, name: str) -> None:
        self.calls.append(("detach", name))
        held = self.held.pop(name, None)
        if held is not None:
            held[2].close()

    async def attached(self) -> frozenset[str]:
        return frozenset(self.held)

    async def surroundings(self, surroundings: Surroundings) -> None:
        """It shares nothing."""


def networks(
    worker_id: str,
    claims_dir: Path,
    gateway: NotingGateway,
    done: Checkpoint = unobserved,
    *,
    pool_size: int = POOL_SIZE,
    bandwidth_mbit: int = BANDWIDTH_MBIT,
    ranges: Ranges = RANGES,
) -> RoutedNetworks:
    terms = Terms(
        registry_hosts=lambda: ("pypi.registry.test",),
        bandwidth_mbit=bandwidth_mbit,
        mtu=1500,
        max_flows=1000,
        audited=True,
        pool_size=pool_size,
    )
    claims = Claims(claims_dir, worker_id, ranges)
    return RoutedNetworks(
        Names.of(worker_id), claims, NftEnforcer(lambda: NEVER), gateway, terms, done
    )


def leftovers(worker_id: str, claims_dir: Path) -> list[str]:
    """Everything of that worker that is on this host."""
    names = Names.of(worker_id)
    found = [f"namespace {n}" for n in netns.names() if n.startswith(names.namespaces)]
    found += [f"link {n}" for n in links.names() if n.startswith(names.links)]
    found += [f"table {t}" for _, t in nft.tables() if t == names.table]
    with contextlib.suppress(FileNotFoundError):
        found += [f"claim {p.name}" for p in claims_dir.iterdir() if p.name.isdigit()]
    return found


def sweep(worker_id: str, claims_dir: Path) -> None:
    """Take away what a worker has left on the host, bridges included, when it does not do so any more itself."""
    names = Names.of(worker_id)
    for name in netns.names():
        if name.startswith(names.namespaces):
            netns.remove(name)
    for name in links.names():
        if name.startswith(names.links):
            links.remove(name)
    nft.delete_table("inet", names.table)
    claims = Claims(claims_dir, worker_id, RANGES)
    for number in claims.mine():
        claims.give_back(number)
    claims.close()
