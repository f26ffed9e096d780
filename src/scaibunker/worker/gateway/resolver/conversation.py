"""From a guest's packet to its answer, whichever way it came."""

import asyncio
from collections.abc import Callable
from enum import Enum

import structlog

from scaibunker.worker.gateway.counts import QUESTIONS, Counts
from scaibunker.worker.gateway.resolver.limits import Limits, TokenBucket
from scaibunker.worker.gateway.resolver.prepared import Prepared, bad_version, bare, malformed
from scaibunker.worker.gateway.resolver.resolution import Resolution
from scaibunker.worker.gateway.resolver.wire import (
    IN,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    OPT,
    REFUSED,
    SERVFAIL,
    TRANSFERS,
    Malformed,
    Query,
    number_of,
    read_query,
)  # fmt: skip

log = structlog.get_logger(__name__)

Send = Callable[[bytes], None]

OUTCOMES = {NOERROR: "noerror", NXDOMAIN: "nxdomain", SERVFAIL: "servfail", REFUSED: "refused"}
"""As they are counted."""


class Heard(Enum):
    DONE = "done"  # answered, or dropped
    WAITS = "waits"  # `send` is called later, once, if there will be an answer
    TOO_MUCH = "too much"  # the machine asks more than is read: read no more for a while


class Conversation:
    """One machine's. `limits` are held over both transports together."""

    def __init__(
        self, resolution: Resolution, limits: Limits, counts: Counts | None = None
    ) -> None:
        self._counts = counts or Counts()
        self._resolution = resolution
        self._limits = limits
        now = resolution.now
        self._questions = TokenBucket(limits.per_second, limits.burst, now)
        self._refusals = TokenBucket(limits.refusals_per_second, limits.refusals_per_second, now)
        self._waiting = 0

    def _count(self, outcome: str) -> None:
        self._counts.add(QUESTIONS, outcome)

    def hear(
        self, packet: bytes, send: Send, *, tcp: bool, over: Callable[[], None] | None = None
    ) -> Heard:
        """`over` is called when one that waits does so no more, whether it was answered or not. Never raises."""
        try:
            return self._hear(packet, send, tcp, over)
        except Exception as error:  # of this packet; others are not to suffer from it
            log.error("resolver_packet_failed", exc_info=error)
            return Heard.DONE

    def _hear(self, packet: bytes, send: Send, tcp: bool, over: Callable[[], None] | None) -> Heard:
        if not self._questions.take():
            self._count("limited")
            if not self._refusals.take():
                return Heard.TOO_MUCH
            _refuse(packet, send)
            return Heard.DONE
        try:
            query = read_query(packet)
        except Malformed:
            self._count("malformed")
            number = number_of(packet)
            if number is not None:
                send(malformed(number))
            return Heard.DONE
        if query.flags & 0x7800 or query.klass != IN or query.version:
            self._count("unsupported")
            send(_out_of_place(query))
            return Heard.DONE
        if query.kind in TRANSFERS or query.kind == OPT:
            self._count("unsupported")
            send(bare(query, NOTIMP))
            return Heard.DONE
        limit = None if tcp else query.limit
        answer = self._resolution.answer(query)
        if isinstance(answer, Prepared):
            self._count(_outcome(answer))
            send(self._resolution.tell(query, answer, limit))
            return Heard.DONE
        if self._waiting >= self._limits.waiting:
            self._count("limited")
            send(bare(query, SERVFAIL))
            return Heard.DONE
        self._waiting += 1

        def finished(task: asyncio.Task[Prepared]) -> None:
            self._waiting -= 1
            if over is not None:
                over()
            if task.cancelled():  # the policy has changed: the guest will ask again
                return
            error = task.exception()
            if error is not None:
                log.error("resolver_question_failed", exc_info=error)
                self._count("servfail")
                send(bare(query, SERVFAIL))
                return
            prepared = task.result()
            self._count(_outcome(prepared))
            self._questions.spend(prepared.asked_bytes // self._limits.bytes_each)
            send(self._resolution.tell(query, prepared, limit))

        answer.add_done_callback(finished)
        return Heard.WAITS


def _outcome(prepared: Prepared) -> str:
    return "denied" if prepared.denied else OUTCOMES.get(prepared.rcode, "other")


def _out_of_place(query: Query) -> bytes:
    if query.flags & 0x7800:
        return bare(query, NOTIMP)
    return bad_version(query) if query.version else bare(query, REFUSED)


def _refuse(packet: bytes, send: Send) -> None:
    try:
        send(bare(read_query(packet), REFUSED))
    except Malformed:
        return
