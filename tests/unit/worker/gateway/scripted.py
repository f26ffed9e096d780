"""A resolution with upstreams that say what the test wants, and a clock that stands until it is moved."""

import asyncio
from typing import Any

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.resolver.conversation import Conversation
from scaibunker.worker.gateway.resolver.limits import Limits
from scaibunker.worker.gateway.resolver.resolution import Resolution
from scaibunker.worker.gateway.resolver.upstream import UpstreamFailed
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never, networks
from scaibunker.worker.network.policy import Passage, Policy

Rows = list[tuple[str, int, str, str]]


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class ScriptedUpstreams:
    """`rows` by name and type; without any, NXDOMAIN. `held`: no answer before it is set."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Rows] = {}
        self.asked: list[tuple[str, str]] = []
        self.rcode: int | None = None
        self.fails = False
        self.held: asyncio.Event | None = None

    def set(self, name: str, kind: str, *data: str, ttl: int = 60) -> None:
        self.rows[name, kind] = [(f"{name}.", ttl, kind, text) for text in data]

    async def ask(self, question: bytes, *, dnssec: bool = False, unchecked: bool = False) -> bytes:
        name, _ = dns.name.from_wire(question, 0)
        kind = dns.rdatatype.to_text(dns.rdatatype.RdataType(int.from_bytes(question[-4:-2])))
        text = name.to_text(omit_final_dot=True)
        self.asked.append((text, kind))
        if self.held is not None:
            await self.held.wait()
        if self.fails:
            raise UpstreamFailed("scripted")
        query = dns.message.make_query(name, kind)
        answer = dns.message.make_response(query)
        rows = self.rows.get((text, kind))
        if rows is None:
            others = any(known == text for known, _ in self.rows)
            answer.set_rcode(dns.rcode.NOERROR if others else dns.rcode.NXDOMAIN)
        for owner, ttl, row_kind, data in rows or []:
            answer.answer.append(dns.rrset.from_text(owner, ttl, "IN", row_kind, data))
        if self.rcode is not None:
            answer.set_rcode(dns.rcode.Rcode(self.rcode))
        return answer.to_wire()


class Machine:
    """One machine, its resolution and what was sent to it."""

    def __init__(
        self, *names: str, passage: Passage = Passage.NAMED, limits: Limits | None = None
    ) -> None:
        self.clock = Clock()
        self.upstreams: Any = ScriptedUpstreams()
        self.surroundings = Surroundings(Never(vicinity=networks("203.0.113.7/32")), ())
        self.attachment = Attachment("m", "b", Policy(passage, 100, names), Sockets())
        self.attachment.answers._now = self.clock
        limits = limits or Limits()
        self.resolution = Resolution(
            self.attachment, self.surroundings, self.upstreams, limits, self.clock
        )
        self.conversation = Conversation(self.resolution, limits, self.attachment.counts)
        self.sent: list[bytes] = []

    async def ask(
        self, name: str, kind: str = "A", *, tcp: bool = False, **options: Any
    ) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **options)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def send(message: bytes) -> None:
            self.sent.append(message)
            answer.set_result(message)

        self.conversation.hear(query.to_wire(), send, tcp=tcp)
        async with asyncio.timeout(60):
            message = dns.message.from_wire(await answer)
        assert query.is_response(message)
        return message

    async def addresses(self, name: str, kind: str = "A") -> list[str]:
        message = await self.ask(name, kind)
        return [data.address for rrset in message.answer for data in rrset]
