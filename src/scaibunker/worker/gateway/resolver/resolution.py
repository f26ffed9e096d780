"""One machine's questions, answered by its policy: what it may know, from its own cache or from the upstreams."""

import asyncio
import time
from collections.abc import Callable

import structlog

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.lookup import Address, Unresolved
from scaibunker.worker.gateway.names import Names
from scaibunker.worker.gateway.resolver.limits import ASKED_S, Limits
from scaibunker.worker.gateway.resolver.prepared import Prepared, nothing, told
from scaibunker.worker.gateway.resolver.reading import pass_on, read_addresses
from scaibunker.worker.gateway.resolver.upstream import UpstreamFailed, Upstreams
from scaibunker.worker.gateway.resolver.wire import (
    AAAA,
    CD,
    HOST_NAME,
    IN,
    NOERROR,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    A,
    Malformed,
    Query,
    text_of,
    wire_of,
)  # fmt: skip
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.policy import Passage, Policy

log = structlog.get_logger(__name__)

GRACE_S = 2.0
"""That an answer holds longer for us than for the guest, who began to count when it had reached it."""
DENIED_TTL_S = 30
FAILED_TTL_S = 2
MAX_LEGS = 4
"""Of a chain of aliases that upstreams give in pieces."""
MAX_NOTED = 256
"""Names of which it is logged that they stand for forbidden addresses; once each."""
LOOKUP_S = 10.0

Key = tuple[bytes, bool, bool]
"""The question in lower case; with OPEN, whether signatures are wanted, and whether unchecked data will do."""


class Resolution:
    """Nothing of it is shared with another machine but the upstreams."""

    def __init__(
        self,
        attachment: Attachment,
        surroundings: Surroundings,
        upstreams: Upstreams,
        limits: Limits,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attachment = attachment
        self._surroundings = surroundings
        self._upstreams = upstreams
        self._limits = limits
        self.now = now
        self._cache: dict[Key, Prepared] = {}
        self._under_way: dict[Key, asyncio.Task[Prepared]] = {}
        self._room = asyncio.Semaphore(limits.under_way)
        self._noted: set[str] = set()
        self._never = surroundings.never
        self._names = Names(attachment.policy.names)

    def change(self, policy: Policy) -> None:
        """What was answered by another policy is forgotten, and what is under way for it is given up."""
        self._names = Names(policy.names)
        self.forget()
        answers = self._attachment.answers
        if policy.passage is Passage.NAMED:
            answers.retain(self._names.permit)
        elif policy.passage is not Passage.OPEN:
            answers.retain(lambda _: False)

    def forget(self) -> None:
        self._cache.clear()
        for task in self._under_way.values():
            task.cancel()
        self._under_way.clear()

    def answer(self, query: Query) -> "Prepared | asyncio.Task[Prepared]":
        """At once, or a task that others may wait for too: it is cancelled when the policy changes."""
        passage = self._attachment.policy.passage
        if passage is Passage.OPEN:
            return self._answer((query.key, query.dnssec, bool(query.flags & CD)))
        if passage is not Passage.NAMED:
            return _denied(Prepared(REFUSED, self.now()))
        if not self._permits(query.key[:-4]):
            return _denied(nothing(NXDOMAIN, self.now() + DENIED_TTL_S, DENIED_TTL_S))
        if query.kind not in (A, AAAA):
            # Not HTTPS either: it would tell clients to hide from the proxy which name they want.
            return nothing(NOERROR, self.now() + DENIED_TTL_S, DENIED_TTL_S)
        return self._answer((query.key, False, False))

    def tell(self, query: Query, prepared: Prepared, limit: int | None) -> bytes:
        """The answer to send to the guest, who may reach what it says from now on. `limit`: its size in bytes, if it
        has one."""
        whole = prepared.fits(query, limit)
        if whole and prepared.addresses and not prepared.learned:
            prepared.learned = True
            name, ends_in = query.name(), prepared.until - self.now() + GRACE_S
            for address in prepared.addresses:
                self._learn(name, address, ends_in)
        return prepared.render(query, self.now(), whole=whole)

    def _learn(self, name: str, address: Address, ends_in: float) -> None:
        attachment = self._attachment
        attachment.answers.learn(name, address, ends_in)
        if attachment.policy.passage is Passage.NAMED:
            attachment.openings.open(address, attachment.answers.lasts_s(address))

    async def addresses(self, name: str) -> list[Address]:
        """For `Lookup`."""
        try:
            encoded = wire_of(name)
        except Malformed:
            raise Unresolved("no host name") from None
        if self._attachment.policy.passage is not Passage.OPEN and not self._permits(encoded):
            raise Unresolved("not permitted")
        questions = [encoded + kind.to_bytes(2) + IN.to_bytes(2) for kind in (A, AAAA)]
        answers = [self._answer((question, False, False)) for question in questions]
        tasks = [answer for answer in answers if isinstance(answer, asyncio.Task)]
        if tasks:
            await asyncio.wait(tasks, timeout=LOOKUP_S)
        found: list[Address] = []
        failed = False
        for answer in answers:
            prepared = _outcome(answer)
            failed = failed or prepared is None or prepared.rcode not in (NOERROR, NXDOMAIN)
            found += prepared.addresses if prepared is not None else ()
        passage, never = self._attachment.policy.passage, self._surroundings.never
        found = [address for address in found if not never.forbids(address, passage)]
        if not found:
            raise Unresolved("upstreams failed" if failed else "no address that is permitted")
        return found

    def _permits(self, encoded: bytes) -> bool:
        name = text_of(encoded)
        return bool(HOST_NAME.fullmatch(name)) and self._names.permit(name)

    def _answer(self, key: Key) -> "Prepared | asyncio.Task[Prepared]":
        if self._never is not self._surroundings.never:
            self._never = self._surroundings.never
            self._cache.clear()
        prepared = self._cache.get(key)
        if prepared is not None:
            if prepared.until - self.now() >= 1:
                return prepared
            del self._cache[key]
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self._limits.waiting:
                return Prepared(SERVFAIL, self.now())
            self._attachment.share.spend(ASKED_S)
            task = asyncio.get_running_loop().create_task(self._ask(key))
            self._under_way[key] = task
        return task

    async def _ask(self, key: Key) -> Prepared:
        """Cancelled by `forget` alone, which has forgotten it then."""
        try:
            async with self._room:
                prepared = await self._asked(key)
        except (UpstreamFailed, Malformed) as error:
            log.debug("resolver_failed", machine=self._attachment.name, error=str(error))
            prepared = Prepared(SERVFAIL, self.now() + FAILED_TTL_S)
        if self._under_way.get(key) is asyncio.current_task():
            del self._under_way[key]
            self._keep(key, prepared)
        return prepared

    async def _asked(self, key: Key) -> Prepared:
        question, dnssec, unchecked = key
        around = self._surroundings
        if self._attachment.policy.passage is not Passage.OPEN:
            return await self._asked_for_addresses(question)
        message = await self._upstreams.ask(question, dnssec=dnssec, unchecked=unchecked)
        if message[3] & 0xF not in (NOERROR, NXDOMAIN):
            return Prepared(message[3] & 0xF, self.now() + FAILED_TTL_S)
        prepared = pass_on(message, question, (around.ttl_min_s, around.ttl_max_s), self.now())
        prepared.asked_bytes = len(message)
        return prepared

    async def _asked_for_addresses(self, question: bytes) -> Prepared:
        around = self._surroundings
        ttl, asked, kind, read_bytes = around.ttl_max_s, question, question[-4:], 0
        for _ in range(MAX_LEGS):
            message = await self._upstreams.ask(asked)
            if message[3] & 0xF not in (NOERROR, NXDOMAIN):
                raise UpstreamFailed("an error")
            read_bytes += len(message)
            reading = read_addresses(message, asked)
            ttl = min(ttl, reading.ttl)
            if not reading.open_end:
                break
            asked = reading.name + kind
        else:
            raise Malformed("aliases go on and on")
        ttl = max(ttl, around.ttl_min_s)
        permitted = [a for a in reading.addresses if not around.never.forbids(a, Passage.NAMED)]
        if len(permitted) < len(reading.addresses):
            self._note(text_of(question[:-4]), all_of_them=not permitted)
        until = self.now() + ttl
        prepared = told(permitted, until) if permitted else nothing(reading.rcode, until, ttl)
        prepared.asked_bytes = read_bytes
        return prepared

    def _keep(self, key: Key, prepared: Prepared) -> None:
        if prepared.size > self._limits.cached_bytes:
            return
        if len(self._cache) >= self._limits.cached:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = prepared

    def _note(self, name: str, *, all_of_them: bool) -> None:
        if name in self._noted or len(self._noted) >= MAX_NOTED:
            return
        self._noted.add(name)
        machine = self._attachment.name
        log.info("resolver_forbidden_address", machine=machine, all_of_them=all_of_them)
        log.debug("resolver_forbidden_name", machine=machine, name=name)


def _denied(prepared: Prepared) -> Prepared:
    prepared.denied = True
    return prepared


def _outcome(answer: "Prepared | asyncio.Task[Prepared]") -> Prepared | None:
    if isinstance(answer, Prepared):
        return answer
    if not answer.done() or answer.cancelled() or answer.exception() is not None:
        return None
    return answer.result()
