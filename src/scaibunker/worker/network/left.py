"""The networks of a host that gives none any more: switched off, or it lacks by now what they need.

What an earlier daemon gave is still there, rules, gateway and all. It is taken away with the machine that has it.
"""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from functools import partial

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway import process
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.network import found, netns, nft, slot
from scaibunker.worker.network.claims import Claims
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.none import NoNetworks
from scaibunker.worker.network.port import Networks

log = structlog.get_logger(__name__)


class LeftNetworks(NoNetworks):
    """`others`: those of the profiles without a slot, of which something may be left, too."""

    def __init__(
        self, names: Names, claims: Claims, home: Home, others: Sequence[Networks] = ()
    ) -> None:
        self._names = names
        self._claims = claims
        self._home = home
        self._others = others

    async def give_back(self, name: str) -> None:
        for part in self._others:
            await part.give_back(name)
        mine = await netns.outside(self._claims.mine)
        await self._take_away(n for n, claim in mine.items() if claim.machine == name)

    async def reclaim(self, living: Collection[str]) -> None:
        for part in self._others:
            await part.reclaim(living)
        mine = await netns.outside(self._claims.mine)
        owned = {n for n, claim in mine.items() if claim.machine in living}
        await self._take_away((mine.keys() | found.numbers(self._names)) - owned)

    async def close(self) -> None:
        for part in self._others:
            with contextlib.suppress(WorkerFault):  # the next daemon finds what is left
                await part.close()

    async def _take_away(self, numbers: Iterable[int]) -> None:
        """And with the last of them what they shared."""
        for number in numbers:
            try:
                await netns.outside(partial(self._demolish, number))
            except WorkerFault as fault:
                log.warning("network_left", number=number, reason=fault.message)
            else:
                log.info("leftover_removed", what=f"network {number}")
        if self._home.run_dir.exists() and not await netns.outside(self._claims.mine):
            await self._end_shared()

    def _demolish(self, number: int) -> None:
        slot.demolish(self._names.namespace(number), self._names.link(number))
        self._claims.give_back(number)

    async def _end_shared(self) -> None:
        try:
            await process.stop(self._home)  # what it has of flows it puts on disk
        except TimeoutError:
            log.warning("gateway_left", run_dir=str(self._home.run_dir))
        try:
            await netns.outside(lambda: nft.delete_table("inet", self._names.table))
        except WorkerFault as fault:
            log.warning("rules_left", table=self._names.table, reason=fault.message)
        await netns.outside(self._claims.close)
