"""The part of the gateway that records a machine's flows.

Forwarded flows (`unrestricted`) are told by conntrack when they end; refused packets of any profile by NFLOG; and what
the proxy carries or refuses it tells itself, through the attachment's recorder.
"""

import asyncio
import ipaddress
import struct
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.flows import records
from scaibunker.worker.gateway.flows.journal import Journal
from scaibunker.worker.gateway.flows.netlink import messages
from scaibunker.worker.gateway.flows.reading import Reading
from scaibunker.worker.gateway.flows.refusals import Refusals
from scaibunker.worker.gateway.flows.room import Room
from scaibunker.worker.gateway.flows.spool import Spool
from scaibunker.worker.gateway.flows.tracking import Begun, Ended, read
from scaibunker.worker.gateway.recorder import Flow
from scaibunker.worker.network.flow_sockets import REFUSALS_DELAY_CS
from scaibunker.worker.network.policy import Passage, Policy

log = structlog.get_logger(__name__)

GATHER_REFUSALS_S = 5.0
"""Refused packets of one flow within that time are one record."""
MAX_NAMED = 65_536
"""Flows of one machine whose names are remembered until they end; above that the oldest have none."""
CLOSE_S = 6.0
"""That may be spent on what the kernel still has to tell."""
FLOODED, UNREADABLE, UNTOLD = "flood", "unreadable", "detached"
"""Why records are missing, besides the journal's reasons: refused packets that did not fit; what made no sense; flows of
which the kernel had not told when there was no more time."""

_ROOM = Room()
"""One for the process: the disk is one too."""


def make_spool(folder: Path) -> Spool:
    return Spool(folder, _ROOM)


class FlowsPart:
    """A `Part` and a `Recorder`. `now` in seconds since 1970."""

    def __init__(
        self,
        make_spool: Callable[[Path], Spool] = make_spool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._make_spool = make_spool
        self._now = now
        self._attachment: Attachment | None = None
        self._journal: Journal | None = None
        self._before: asyncio.Task[None] | None = None
        self._hosts: dict[bytes, str] = {}
        self._refusals = Refusals()
        self._readings: list[Reading] = []
        self._gathering: asyncio.TimerHandle | None = None

    def start(self, attachment: Attachment) -> None:
        self._attachment = attachment
        attachment.recorder = self
        self._fit(attachment.policy)
        sockets, share = attachment.sockets, attachment.share
        # Read in any case: what nobody takes would fill the kernel's table.
        if sockets.conntrack is not None:
            self._readings.append(
                Reading(sockets.conntrack, self._take_tracking, share, self._has_room)
            )
        if sockets.refusals is not None:
            self._readings.append(Reading(sockets.refusals, self._take_refusals, share))
            self._gather()

    def change(self, policy: Policy) -> None:
        self._fit(policy)

    def record(self, flow: Flow) -> None:
        if self._journal is None:
            return
        try:
            self._journal.add(records.of_flow(self._journal.bunker_id, flow))
        except (ValueError, OverflowError, OSError, TypeError) as error:
            log.warning("flow_not_recorded", bunker_id=self._journal.bunker_id, error=repr(error))
            self._journal.lose(1, UNREADABLE)

    async def close(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
        deadline = time.monotonic() + CLOSE_S
        if self._attachment is not None and self._attachment.sockets.refusals is not None:
            await asyncio.sleep(2 * REFUSALS_DELAY_CS / 100)
        for reading in self._readings:
            if not await reading.finish(deadline) and self._journal is not None:
                self._journal.lose(None, UNTOLD)
        self._readings.clear()
        self._tell_refusals()
        self._end_journal()
        if self._before is not None:
            await self._before

    def _fit(self, policy: Policy) -> None:
        """Have a journal exactly while one is wanted, of the bunker whose machine it is."""
        attachment = self._attachment
        if attachment is None:
            return
        folder = attachment.spool if policy.audited else None
        if self._journal is not None and self._journal.folder == folder:
            return
        self._end_journal()
        if folder is not None:
            self._journal = Journal(
                attachment.bunker_id,
                folder,
                self._make_spool,
                after=self._before,
                now=self._now,
                counts=attachment.counts,
            )

    def _end_journal(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            self._before = asyncio.create_task(journal.close(), name="flows of before")

    def _has_room(self) -> bool:
        return self._journal is None or self._journal.has_room

    def _take_tracking(self, data: bytes) -> None:
        journal, attachment = self._journal, self._attachment
        if journal is None or attachment is None or attachment.policy.passage is not Passage.OPEN:
            return
        for message in messages(data):
            try:
                event = read(data, message)
                if isinstance(event, Begun):
                    self._remember_host(event)
                elif isinstance(event, Ended):
                    host = self._hosts.pop(event.key, None)
                    journal.add(records.of_ended(journal.bunker_id, event, host))
            except (LookupError, struct.error, ValueError, OverflowError, OSError) as error:
                log.warning("flow_unreadable", bunker_id=journal.bunker_id, error=repr(error))
                journal.lose(1, UNREADABLE)

    def _remember_host(self, event: Begun) -> None:
        """What the address stands for now: by the end of the flow it may stand for something else."""
        host = self._host(event.destination)
        if host is None:
            return
        if len(self._hosts) >= MAX_NAMED:
            del self._hosts[next(iter(self._hosts))]
        self._hosts[event.key] = host

    def _take_refusals(self, data: bytes) -> None:
        if self._journal is None:
            return
        now = self._now()
        for message in messages(data):
            try:
                self._refusals.read(data, message, now)
            except (LookupError, struct.error):
                self._journal.lose(1, UNREADABLE)

    def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        self._gathering = loop.call_later(GATHER_REFUSALS_S, self._gather)
        self._tell_refusals()

    def _tell_refusals(self) -> None:
        journal = self._journal
        for refusal in self._refusals.take():
            if journal is not None:
                host = self._host(refusal.ends.destination)
                journal.add(records.of_refusal(journal.bunker_id, refusal, host))
        lost = self._refusals.lost()
        if lost and journal is not None:
            journal.lose(lost, FLOODED)

    def _host(self, destination: bytes) -> str | None:
        attachment = self._attachment
        names = attachment.answers.names(ipaddress.ip_address(destination)) if attachment else ()
        return names[0] if names else None
