"""`python -m benchmarks.slots`: what a machine waits for its network, beside the least that a host can do. Needs root.

The floors: an nftables transaction of nothing in a namespace, for taking and admitting; a bare namespace and a bare pair, by
netlink as ours are made, for making a slot.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, from_samples, save, show, this_host
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network import links, messages, netns, nft
from scaibunker.worker.network.claims import Claims
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.nft_enforcer import NftEnforcer
from scaibunker.worker.network.port import Owner
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.routed import RoutedNetworks, Terms

RANGES = Ranges(IPv4Network("10.235.0.0/20"), IPv6Network("fd5c:a1ba:be4c::/64"))
NEVER = Never(
    (*(ip_network(f"203.0.113.{n}") for n in range(64)), RANGES.v4, RANGES.v6),
)
POOL, EACH_ROUND = 8, 6
GATEWAY_UID = 1_799_999
CLAIMS = Path("/run/scaibunker-slots")
OPEN = NetworkOrder(profile=NetworkProfile.UNRESTRICTED, bandwidth_mbit=50)
NAMED = NetworkOrder(profile=NetworkProfile.ALLOWLISTED, allowlist=["a.test"], bandwidth_mbit=50)
NOTHING = "add table inet bench\ndelete table inet bench\n"
MTU = 1500
LINK = "sbkbench0"
FILLED_WITHIN_S = 30
MAC = "02:5c:a1:00:00:fe"

Samples = dict[str, list[float]]


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench-slots.json"))
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    figures = measure(options.rounds)
    show(figures)
    save(figures, this_host(), options.json)
    print(f"written to {options.json}")
    return 0


def measure(rounds: int = 10) -> list[Figure]:
    """Ours and the floors in turn."""
    return uvloop.run(_measure(rounds))


async def _measure(rounds: int) -> list[Figure]:
    took: Samples = {name: [] for name in ("nft", "bare", "take", "open", "named", "back", "make")}
    bare = f"scaibunker-bench-{os.getpid()}"
    async with _networks(POOL) as networks, _networks(0) as unprepared:
        netns.create(bare)
        for number in range(rounds):
            order, kind = ((OPEN, "open"), (NAMED, "named"))[number % 2]
            machines = [f"bnk_{number}_{n}" for n in range(EACH_ROUND)]
            await _until_filled(networks)
            for machine in machines:
                owner = Owner(machine, "ten_bench")
                await _timed(took["nft"], netns.inside(bare, _bare_transaction))
                begun = time.perf_counter()
                network = await networks.take(machine, None, order)
                took["take"].append((time.perf_counter() - begun) * 1000)
                await networks.admit(machine, owner, order)
                took[kind].append((time.perf_counter() - begun) * 1000)
                os.close(network.open_taps()[0])
            for machine in machines:
                await _timed(took["back"], networks.give_back(machine))
            await _until_filled(networks)
            for machine in machines[:2]:
                await _timed(took["bare"], netns.outside(_bare_slot))
                await _timed(took["make"], unprepared.take(machine, None, order))
                await unprepared.give_back(machine)
        netns.remove(bare)
    return [
        from_samples("network slot, taken", took["take"], "ms", took["nft"]),
        from_samples("network slot, taken and admitted: open", took["open"], "ms", took["nft"]),
        from_samples("network slot, taken and admitted: named", took["named"], "ms", took["nft"]),
        from_samples("network slot, given back", took["back"], "ms", took["bare"]),
        from_samples("network slot, made", took["make"], "ms", took["bare"]),
    ]


@contextlib.asynccontextmanager
async def _networks(pool_size: int) -> AsyncIterator[RoutedNetworks]:
    worker = f"wrk_bench{os.getpid()}x{pool_size}"
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as name:
        folder = Path(name)
        uid = GATEWAY_UID + pool_size
        gateway = GatewayClient(Home(folder / "run", folder / "root", uid))
        terms = Terms(tuple, 100, MTU, 16_384, audited=True, pool_size=pool_size)
        claims = Claims(CLAIMS, worker, RANGES)
        enforcer = NftEnforcer(lambda: NEVER)
        networks = RoutedNetworks(Names.of(worker), claims, enforcer, gateway, terms)
        gateway.start()
        await networks.start()
        try:
            await gateway.surroundings(Surroundings(NEVER, (("203.0.113.53", 53),)))
            await networks.reclaim([])
            yield networks
        finally:
            for machine in list(networks.given):
                await networks.give_back(machine)
            await networks.close()
            await gateway.stop()


async def _timed(samples: list[float], work: Awaitable[object]) -> None:
    begun = time.perf_counter()
    await work
    samples.append((time.perf_counter() - begun) * 1000)


async def _until_filled(networks: RoutedNetworks) -> None:
    deadline = time.monotonic() + FILLED_WITHIN_S
    while networks.prepared < POOL:
        assert time.monotonic() < deadline, "the pool does not fill"
        await asyncio.sleep(0.01)


def _bare_transaction() -> None:
    nft.apply(NOTHING)


def _bare_slot() -> None:
    """A namespace and a pair into it."""
    name = f"scaibunker-bench-{os.getpid()}-made"
    netns.create(name)
    try:
        with links.netlink() as route, netns.opened(name) as there:
            route.do(messages.new_pair(LINK, MAC, "up0", MAC, there, MTU))
        links.remove(LINK)
    finally:
        netns.remove(name)


if __name__ == "__main__":
    sys.exit(main())
