"""Whom the gateway serves. What goes wrong with one attachment, or one part of it, is kept from all others."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.counts import Counts
from scaibunker.worker.gateway.part import Part
from scaibunker.worker.gateway.shares import LoopTime
from scaibunker.worker.gateway.turns import Turns
from scaibunker.worker.network.policy import Policy

log = structlog.get_logger(__name__)

CLOSE_TIMEOUT_S = 10.0
"""That one part may take to stop; then it is left behind, and its sockets are closed."""


class NotAttached(Exception):
    """The gateway serves no machine of that name."""


class _Served:
    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self.parts: list[Part] = []
        self.failed: list[str] = []


class Table:
    """`parts` makes the parts of one attachment, in the order in which they start; `spools` is the folder for records,
    as this process sees it; `recorded` hears of each bunker before its records are written there. What is asked for one machine is done in order; machines do not wait for one another."""

    def __init__(
        self,
        parts: Sequence[Callable[[], Part]],
        spools: Path,
        recorded: Callable[[str], None] = lambda _bunker_id: None,
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._parts = parts
        self._spools = spools
        self._recorded = recorded
        self._loop_time = LoopTime()
        self._served: dict[str, _Served] = {}
        self._turns = Turns()
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._served)

    @property
    def failed(self) -> Mapping[str, tuple[str, ...]]:
        """Which parts of whom do not work."""
        return {name: tuple(s.failed) for name, s in self._served.items() if s.failed}

    async def attach(self, name: str, bunker_id: str, policy: Policy, sockets: Sockets) -> None:
        """Takes the sockets over. One that is served under this name already is closed first."""
        async with self._turns.of(name):
            try:
                if self._closed:
                    raise NotAttached("the gateway stops")
                await self._close(name)
                for sock in sockets.all():
                    sock.setblocking(False)
                attachment = Attachment(
                    name,
                    bunker_id,
                    policy,
                    sockets,
                    self._spool(bunker_id, policy),
                    share=self._loop_time.share(),
                    counts=self.counts,
                )
            except BaseException:
                sockets.close()
                raise
            served = self._served[name] = _Served(attachment)
            for make in self._parts:
                await self._start(served, make)

    async def change(self, name: str, bunker_id: str, policy: Policy) -> None:
        """Raises NotAttached."""
        async with self._turns.of(name):
            served = self._served.get(name)
            if served is None:
                raise NotAttached(f"{name} is not attached")
            attachment = served.attachment
            attachment.spool = self._spool(bunker_id, policy)
            attachment.bunker_id, attachment.policy = bunker_id, policy
            for part in list(served.parts):
                try:
                    part.change(policy)
                except Exception as error:
                    served.parts.remove(part)
                    await self._give_up(served, part, error)

    async def detach(self, name: str) -> None:
        async with self._turns.of(name):
            await self._close(name)

    async def close(self) -> None:
        """Nobody is attached any more when this returns, nor later."""
        self._closed = True
        await asyncio.gather(*(self.detach(name) for name in self.names))

    async def _start(self, served: _Served, make: Callable[[], Part]) -> None:
        part = None
        try:
            part = make()
            part.start(served.attachment)
        except Exception as error:
            await self._give_up(served, part, error)
        else:
            served.parts.append(part)

    async def _give_up(self, served: _Served, part: Part | None, error: Exception) -> None:
        kind = "none" if part is None else type(part).__name__
        served.failed.append(kind)
        machine = served.attachment.name
        log.error("gateway_part_failed", machine=machine, part=kind, exc_info=error)
        if part is not None:
            await _closed(part, machine)

    async def _close(self, name: str) -> None:
        served = self._served.pop(name, None)
        if served is None:
            return
        try:
            for part in reversed(served.parts):
                await _closed(part, name)
        finally:
            served.attachment.sockets.close()

    def _spool(self, bunker_id: str, policy: Policy) -> Path | None:
        if not (bunker_id and policy.audited):
            return None
        spool = self._spools / bunker_id
        spool.mkdir(mode=0o700, exist_ok=True)
        self._recorded(bunker_id)
        return spool


async def _closed(part: Part, machine: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await part.close()
    except Exception as error:
        kind = type(part).__name__
        log.error("gateway_part_not_closed", machine=machine, part=kind, exc_info=error)
