"""The addresses of the hosts that controllers run on: each replica says its own, and reads all."""

import asyncio
import contextlib
import ipaddress
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, insert, select, update

from scaibunker.controller.workers.tables import controllers
from scaibunker.controller.workers.vicinity import Vicinity, addresses_of
from scaibunker.wire.worker.network import SLOT_LINKS
from scaigrid.clock import Clock
from scaigrid.db import Database, Reader, Writer
from scaigrid.db.errors import DatabaseUnavailable
from scaigrid.loops import forever
from scaigrid.operation import Operation, system_operation

SAY_S = 30.0
"""Seconds between a replica's looks at its own addresses and at those of all."""
FORGOTTEN_AFTER = timedelta(days=1)
"""An address stays closed for so long after a replica last had it."""
SAID_AGAIN_AFTER = timedelta(hours=1)
MAX_OWN, MAX_ALL = 32, 1024
_IPV4, _IPV6, _ROUTES = "net/fib_trie", "net/if_inet6", "net/route"


class Replicas:
    """Keeps `Vicinity` told of the controllers."""

    def __init__(
        self, database: Database, clock: Clock, vicinity: Vicinity, proc: Path = Path("/proc")
    ) -> None:
        self._database = database
        self._clock = clock
        self._vicinity = vicinity
        self._proc = proc

    async def run(self) -> None:
        """For ever."""

        async def once() -> None:
            with contextlib.suppress(DatabaseUnavailable):
                await self.look()

        await forever("replicas", once, SAY_S)

    async def look(self) -> None:
        """Say one's own addresses, if that has not been done lately, and tell all. Raises DatabaseUnavailable."""
        op = system_operation("replicas", self._clock)
        own = await asyncio.to_thread(own_addresses, self._proc)

        async def say(db: Writer) -> None:
            await _say(op, db, own)

        async with self._database.read() as db:
            lately = await _said(op, db, SAID_AGAIN_AFTER)
        if not own <= lately:
            await self._database.upsert(say)
        async with self._database.read() as db:
            self._vicinity.controllers(await _said(op, db, FORGOTTEN_AFTER))


async def _say(op: Operation, db: Writer, own: Iterable[str]) -> None:
    """Raises IntegrityError if another replica on this host says the same for the first time just now."""
    c = controllers.c
    now = op.now()
    await db.execute(delete(controllers).where(c.seen_at < now - FORGOTTEN_AFTER))
    for address in sorted(own):
        await db.execute(update(controllers).where(c.address == address).values(seen_at=now))
    known = set(await db.values(select(c.address).where(c.address.in_(sorted(own)))))
    for address in sorted(set(own) - known):
        await db.execute(insert(controllers).values(address=address, seen_at=now))


async def _said(op: Operation, db: Reader, within: timedelta) -> frozenset[str]:
    c = controllers.c
    recent = select(c.address).where(c.seen_at >= op.now() - within)
    return frozenset(await db.values(recent.order_by(c.address).limit(MAX_ALL)))


def own_addresses(proc: Path = Path("/proc")) -> frozenset[str]:
    """Those of this host, as its kernel has them; none that only it can reach itself by, nor those between it and
    machines, if it is a worker too. If there are too many, those of the outside."""
    links = list(_slot_links(_text(proc / _ROUTES)))
    found = addresses_of("", [*_ipv4(_text(proc / _IPV4)), *_ipv6(_text(proc / _IPV6))])
    addresses = [ipaddress.ip_address(text) for text in found]
    outward = [a for a in addresses if not any(a in link for link in links)]
    outward.sort(key=lambda a: (not a.is_global, a.version, int(a)))
    return frozenset(map(str, outward[:MAX_OWN]))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # a host without that family
        return ""


def _ipv4(trie: str) -> Iterable[str]:
    """`|-- 192.0.2.1`, and below it what it is: `/32 host LOCAL`."""
    address = ""
    for line in trie.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            yield address


def _ipv6(table: str) -> Iterable[str]:
    """`20010db8000000000000000000000001 02 40 00 80 eth0`."""
    for line in table.splitlines():
        digits, *_, name = line.split()
        if not name.startswith(SLOT_LINKS):
            yield str(ipaddress.IPv6Address(int(digits, 16)))


def _slot_links(routes: str) -> Iterable[ipaddress.IPv4Network]:
    """`sbk0 0A4213C6 00000000 0001 0 0 0 FEFFFFFF ...`: numbers as the host's processor has them."""
    for line in routes.splitlines():
        words = line.split()
        if words[:1] and words[0].startswith(SLOT_LINKS):
            destination, mask = (
                ipaddress.IPv4Address(int(word, 16).to_bytes(4, sys.byteorder))
                for word in (words[1], words[7])
            )
            yield ipaddress.IPv4Network(f"{destination}/{mask}", strict=False)
