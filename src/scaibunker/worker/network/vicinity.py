"""What lies too near to be reached by any bunker: this host's own addresses, those of slots, the controller, the storage
proxy, other workers. Looked up here; `lookout` does it again and again.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from urllib.parse import urlsplit

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import netns
from scaibunker.worker.network.never import NOWHERE, Address, Network, Never

log = structlog.get_logger(__name__)

RESOLVE_TIMEOUT_S = 5.0
KEEP_S = 600.0
"""For so long an address that a name stood for counts after the name has moved on."""
MAX_HOSTS = 1024
MAX_ADDRESSES = 64
"""Of one name; whoever answers for it is not trusted with more of the kernel's memory."""
LOCAL_TABLE = 255
LOCAL_ROUTES = {2, 3, 4}
"""Types of routes: local, broadcast, anycast."""

Resolve = Callable[[str], Awaitable[Iterable[Address]]]
Look = Callable[[], Awaitable[Iterable[Network]]]


async def own_addresses() -> set[Network]:
    """What this host answers for: addresses of its interfaces, and what its local routes say. Raises WorkerFault."""
    return await netns.outside(_own_addresses)


async def resolved(host: str) -> set[Address]:
    """All addresses of a host name or an address. Raises OSError; TimeoutError is one."""
    async with asyncio.timeout(RESOLVE_TIMEOUT_S):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = {ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found}
    return set(sorted(addresses, key=str)[:MAX_ADDRESSES])


class Vicinity:
    """`ranges`: of slots, closed as a whole. `urls`: of the controller and the storage proxy. `permitted`: ranges of
    the operator, passed on in each Never. `advertised`: the URL by which others know this worker."""

    def __init__(
        self,
        ranges: Iterable[Network],
        urls: Iterable[str | None] = (),
        permitted: Iterable[Network] = (),
        *,
        advertised: str | None = None,
        look: Look = own_addresses,
        resolve: Resolve = resolved,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ranges = tuple(ranges)
        self._advertised = _hosts([advertised] if advertised else [])
        self._fixed = (*_hosts(url for url in urls if url), *self._advertised)
        self._permitted = tuple(permitted)
        self._peers: tuple[str, ...] = ()
        self._told: tuple[Network, ...] = ()
        self._said: tuple[str, ...] = ()
        self._unread = False
        self._look, self._resolve, self._now = look, resolve, now
        self._known: dict[str, dict[Address, float]] = {}
        """For each host, its addresses and when they were last seen."""
        self._lost: set[str] = set()
        """Hosts that could not be resolved when they were last asked for."""
        self.own: tuple[Network, ...] = ()
        """What this host answered for when it was last looked at, but for slots; and what the URL stands for by which
        others know it."""

    def set_peers(self, peers: Iterable[str]) -> bool:
        """The deployment's other hosts, all there are: addresses and ranges, of which there may be tens of thousands;
        a few host names and URLs, which are looked up. Whether they are others than before."""
        said = tuple(sorted(set(peers)))
        changed = said != self._said
        self._said, self._unread = said, self._unread or changed
        return changed

    async def gather(self) -> Never:
        """How things are now. A name that cannot be resolved stands for what it last stood for. Raises WorkerFault if
        the host's own addresses cannot be read."""
        own = await self._look()
        while self._unread:
            self._unread = False
            self._told, self._peers = await asyncio.to_thread(self._read, self._said)
        hosts = dict.fromkeys((*self._fixed, *self._peers))
        for gone in self._known.keys() - hosts.keys():
            del self._known[gone]
        await asyncio.gather(*(self._learn(host) for host in hosts))
        near = {ipaddress.ip_network(a) for known in self._known.values() for a in known}
        known_by = {ipaddress.ip_network(a) for h in self._advertised for a in self._known[h]}
        self.own = tuple(n for n in {*own, *known_by} if not self._is_closed(n))
        beside = {n for n in {*own, *near} if not self._is_closed(n)}.union(self._told)
        return Never((*self._ranges, *sorted(beside, key=_order)), self._permitted)

    def _read(self, said: Iterable[str]) -> tuple[tuple[Network, ...], tuple[str, ...]]:
        """Of what is said of peers: addresses and ranges, and names. Takes a moment when there are many."""
        numbers, names = _sorted_out(_hosts(said))
        told = tuple(n for n in _collapsed(numbers) if not self._is_closed(n))
        return told, tuple(names[:MAX_HOSTS])

    def _is_closed(self, network: Network) -> bool:
        """Whether it is in a range that is closed anyway."""
        return any(_inside(network, range_) for range_ in (*self._ranges, *NOWHERE))

    async def _learn(self, host: str) -> None:
        known, now = self._known.setdefault(host, {}), self._now()
        try:
            found = set(await self._resolve(host))
        except (OSError, UnicodeError) as error:
            if host not in self._lost:
                log.warning("neighbour_not_resolved", host=host, reason=str(error) or "time-out")
            self._lost.add(host)
            return
        self._lost.discard(host)
        if not found:
            return
        known.update(dict.fromkeys(found, now))
        for address in [a for a, seen in known.items() if seen < now - KEEP_S]:
            del known[address]


def _own_addresses() -> set[Network]:
    try:
        with IPRoute() as route:
            found = [entry.get("address") for entry in route.get_addr()]
            found += [entry.get("local") for entry in route.get_addr()]
            for entry in route.get_routes(table=LOCAL_TABLE):
                if entry["type"] in LOCAL_ROUTES and entry.get("dst"):
                    found.append(f"{entry.get('dst')}/{entry['dst_len']}")
    except (NetlinkError, OSError) as error:
        raise WorkerFault(f"cannot read the host's addresses: {error}") from error
    return {ipaddress.ip_network(text) for text in found if text}


def _hosts(urls: Iterable[str]) -> tuple[str, ...]:
    """The host of each; what is no URL is a host itself."""
    hosts = (urlsplit(url).hostname if "//" in url else url.strip("[]") for url in urls)
    return tuple(dict.fromkeys(host for host in hosts if host))


def _sorted_out(hosts: Iterable[str]) -> tuple[list[Network], list[str]]:
    """Addresses and ranges, and what is none."""
    numbers: list[Network] = []
    names: list[str] = []
    for host in hosts:
        try:
            numbers.append(ipaddress.ip_network(host))
        except ValueError:
            names.append(host)
    return numbers, names


def _collapsed(networks: Iterable[Network]) -> Iterator[Network]:
    """As few ranges as say the same: hosts of a deployment are often numbered in a row."""
    told = list(networks)
    yield from ipaddress.collapse_addresses(n for n in told if n.version == 4)
    yield from ipaddress.collapse_addresses(n for n in told if n.version == 6)


def _inside(network: Network, outer: Network) -> bool:
    return network.version == outer.version and network.subnet_of(outer)  # type: ignore[arg-type]


def _order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen
