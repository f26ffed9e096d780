"""The daemon's gateway: kept running, and told what it should serve, whoever dies in between."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway import process
from scaibunker.worker.gateway.control.channel import Broken
from scaibunker.worker.gateway.control.messages import (
    Answer,
    Attach,
    Change,
    Detach,
    PolicyMessage,
    SocketCounts,
    StatusQuery,
    Surround,
)  # fmt: skip
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.gateway.port import OpenSockets
from scaibunker.worker.gateway.process import GatewayUnavailable, Running
from scaibunker.worker.gateway.release import release
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.gateway.tally import Tally
from scaibunker.worker.gateway.turns import Turns
from scaibunker.worker.network.policy import Policy

log = structlog.get_logger(__name__)

T = TypeVar("T")

CALL_TIMEOUT_S = 30.0
PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""Between attempts to have a gateway; the last is repeated."""
LASTED_S = 10.0
"""A gateway that lived that long has not failed at its start."""
AGAIN_S = 2.0
"""After which a machine is tried again that could not be attached to a new gateway."""
WATCH_S, STUCK_S = 10.0, 60.0
"""A gateway is asked that often whether it is well, and has that long to say so."""
AT_ONCE = 8
"""Machines that are attached to a new gateway at the same time."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    bunker_id: str
    policy: Policy
    open_sockets: OpenSockets


class _Link:
    """A gateway that is ready, and whom it serves."""

    def __init__(self, running: Running) -> None:
        self.session = running.session
        self.process = running.process
        self.serves = set(running.status.machines)
        self.uncertain: set[str] = set()
        self.done: dict[str, _Wanted] = {}
        self.around: Surroundings | None = None

    async def ask(self, make: Callable[[int], BaseModel], files: Sequence[int] = ()) -> Answer:
        """Raises Broken; WorkerFault if the gateway says that it did not do it."""
        answer = await self.session.ask(make, files)
        if answer.error:
            raise WorkerFault(f"gateway: {answer.error}")
        for machine, parts in answer.failed.items():
            log.error("gateway_part_failed", machine=machine, parts=parts)
        return answer


class GatewayClient:
    """Implements `port.Gateway`. Between `start` and `close` it sees to it that a gateway runs. `tally` is told what it does."""

    def __init__(self, home: Home, tally: Tally | None = None) -> None:
        self._home = home
        self._tally = tally or Tally()
        self._version = release()
        self._wanted: dict[str, _Wanted] = {}
        self._surroundings: Surroundings | None = None
        self._surrounded = asyncio.Event()
        self._turns = Turns()
        self._link: _Link | None = None
        self._linked = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def spools(self) -> Path:
        return self._home.spools

    @property
    def pid(self) -> int | None:
        """Of the gateway that is ready now."""
        return None if self._link is None else self._link.process.identity.pid

    def start(self) -> None:
        """Returns at once; calls wait until the gateway is ready."""
        self._keeping = asyncio.create_task(self._keep(), name="gateway")

    async def close(self) -> None:
        """The daemon ends; the gateway goes on."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    async def stop(self) -> None:
        """End the gateway too: no machine needs it any more."""
        await self.close()
        await process.stop(self._home)

    async def attach(
        self, name: str, bunker_id: str, policy: Policy, open_sockets: OpenSockets
    ) -> None:
        self._wanted[name] = _Wanted(bunker_id, policy, open_sockets)
        await self._within(self._bring(name))

    async def change(self, name: str, bunker_id: str, policy: Policy) -> None:
        was = self._wanted.get(name)
        if was is None:
            raise WorkerFault(f"{name} is not attached to the gateway")
        self._wanted[name] = _Wanted(bunker_id, policy, was.open_sockets)
        await self._within(self._bring(name))

    async def detach(self, name: str) -> None:
        self._wanted.pop(name, None)
        if self._link is None and not process.lives(self._home):
            return  # nobody serves it, and the next one will not: it must not keep a machine from its end
        await self._within(self._bring(name))

    async def attached(self) -> frozenset[str]:
        return await self._within(self._on_link(self._list))

    async def surroundings(self, surroundings: Surroundings) -> None:
        self._surroundings = dataclasses.replace(surroundings)
        self._surrounded.set()
        await self._within(self._on_link(self._surround))

    async def _bring(self, name: str) -> None:
        """Have the gateway serve it as it is wanted, or not at all."""
        async with self._turns.of(name):
            await self._on_link(lambda link: self._bring_on(link, name))

    async def _bring_on(self, link: _Link, name: str) -> None:
        wanted = self._wanted.get(name)
        if wanted is None:
            await link.ask(lambda number: Detach(id=number, name=name))
            link.serves.discard(name)
            link.uncertain.discard(name)
            link.done.pop(name, None)
            return
        if link.done.get(name) is wanted:
            return
        if name in link.serves:
            await link.ask(lambda number: _change(number, name, wanted))
        else:
            await self._surrounded.wait()
            await self._surround(link)
            if name in link.uncertain:  # an attempt that was given up may have been heard
                await link.ask(lambda number: Detach(id=number, name=name))
            sockets = await wanted.open_sockets()
            link.uncertain.add(name)
            try:
                files = [sock.fileno() for sock in sockets.all()]
                counts = SocketCounts.of(sockets)
                await link.ask(lambda number: _attach(number, name, wanted, counts), files)
            finally:
                sockets.close()  # the gateway has its own now; ours would keep them listening
            link.uncertain.discard(name)
            link.serves.add(name)
        link.done[name] = wanted

    async def _surround(self, link: _Link) -> None:
        around = self._surroundings
        if around is not None and link.around is not around:
            await link.ask(lambda number: Surround.of(number, around))
            link.around = around

    async def _list(self, link: _Link) -> frozenset[str]:
        answer = await link.ask(lambda number: StatusQuery(id=number))
        return frozenset(answer.machines)

    async def _on_link(self, work: Callable[[_Link], Awaitable[T]]) -> T:
        """Do it with the gateway; with the next one if it dies meanwhile."""
        while True:
            await self._linked.wait()
            link = self._link
            if link is None:
                continue
            try:
                return await work(link)
            except Broken:
                self._unlink(link)

    async def _within(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await work
        except TimeoutError:
            raise WorkerFault("the gateway has not answered in time") from None

    def _unlink(self, link: _Link) -> None:
        if self._link is link:
            self._link = None
            self._linked.clear()

    async def _keep(self) -> None:
        """For as long as the daemon lives."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                running = await process.ready(self._home, self._version)
            except (GatewayUnavailable, OSError) as error:
                log.error("gateway_unavailable", error=str(error))
            else:
                self._tally.begin(running.status.counts)
                await self._follow(_Link(running))
                self._tally.lost()
                log.warning("gateway_lost", pid=running.process.identity.pid)
            failures = 0 if time.monotonic() - began > LASTED_S else failures + 1
            await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S)) - 1] if failures else 0)

    async def _follow(self, link: _Link) -> None:
        """Until it is over."""
        log.info("gateway_linked", pid=link.process.identity.pid, serves=len(link.serves))
        self._link = link
        self._linked.set()
        beside = [
            asyncio.create_task(self._settle(link), name="gateway-settle"),
            asyncio.create_task(_watch(link, self._tally), name="gateway-watch"),
        ]
        try:
            await link.session.over()
        finally:
            self._unlink(link)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await link.session.close()
            link.process.release()

    async def _settle(self, link: _Link) -> None:
        """Whom an earlier gateway served, this one shall too."""
        room = asyncio.Semaphore(AT_ONCE)

        async def bring(name: str) -> None:
            async with room:
                try:
                    await self._within(self._bring(name))
                except Exception as error:  # of this machine alone
                    log.error("gateway_not_attached", machine=name, error=str(error))

        while True:
            with contextlib.suppress(WorkerFault, Broken):
                await self._surround(link)
            behind = [name for name, w in self._wanted.items() if link.done.get(name) is not w]
            await asyncio.gather(*map(bring, behind))
            await asyncio.sleep(AGAIN_S)


async def _watch(link: _Link, tally: Tally) -> None:
    """End a gateway that stands still: the next one may not. Of one that does not, see what it does."""
    with contextlib.suppress(Broken):
        while True:
            try:
                async with asyncio.timeout(STUCK_S):
                    status = await link.session.ask(lambda number: StatusQuery(id=number))
            except TimeoutError:
                log.error("gateway_stuck", pid=link.process.identity.pid)
                await link.process.kill()
                return
            tally.see(status.counts, status.connections_open)
            await asyncio.sleep(WATCH_S)


def _attach(number: int, name: str, wanted: _Wanted, counts: SocketCounts) -> Attach:
    policy = PolicyMessage.of(wanted.policy)
    return Attach(id=number, name=name, bunker_id=wanted.bunker_id, policy=policy, sockets=counts)


def _change(number: int, name: str, wanted: _Wanted) -> Change:
    policy = PolicyMessage.of(wanted.policy)
    return Change(id=number, name=name, bunker_id=wanted.bunker_id, policy=policy)
