"""Questions by TCP, from clients that do not behave."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import dns.message
import dns.rcode

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.resolver.limits import Limits
from scaibunker.worker.gateway.resolver.lookup import ResolverLookup
from scaibunker.worker.gateway.resolver.part import Resolver
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import CLOSED, Passage, Policy
from tests.integration.dns_upstream import upstream
from tests.waiting import PATIENT_S

QUERY = dns.message.make_query("evil.test", "A").to_wire()
LIMITS = Limits(connections=3, pipelined=4, idle_s=0.5)
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    def __init__(self, limits: Limits, upstreams: tuple[tuple[str, int], ...] = ()) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        policy = Policy(Passage.NAMED, 100, ("pypi.test", "*.files.test"))
        self.attachment = Attachment("m", "b", policy, Sockets(dns_tcp=(listener,)))
        self.part = Resolver(ResolverLookup(Surroundings(Never(), upstreams), limits))
        self.part.start(self.attachment)

    async def connect(self) -> Stream:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def close(self) -> None:
        await self.part.close()
        self.attachment.sockets.close()


@contextlib.asynccontextmanager
async def serving(limits: Limits = LIMITS, *upstreams: tuple[str, int]) -> AsyncIterator[Server]:
    server = Server(limits, upstreams)
    try:
        yield server
    finally:
        await server.close()


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2) + packet


async def answer(reader: asyncio.StreamReader) -> dns.message.Message:
    async with asyncio.timeout(PATIENT_S):
        length = int.from_bytes(await reader.readexactly(2))
        return dns.message.from_wire(await reader.readexactly(length))


async def ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(PATIENT_S):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read(1) == b""
        return True


async def test_questions_may_come_byte_by_byte() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        for byte in framed(QUERY):
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await answer(reader)).rcode() == dns.rcode.NXDOMAIN
        writer.close()


async def test_who_says_nothing_is_let_go() -> None:
    async with serving() as server:
        for said in (b"", b"\0", framed(QUERY)[:9]):
            reader, writer = await server.connect()
            writer.write(said)
            assert await ended(reader)
            writer.close()


async def test_no_more_connections_than_may() -> None:
    async with serving(replace(LIMITS, idle_s=60)) as server:
        streams = [await server.connect() for _ in range(LIMITS.connections)]
        for reader, writer in streams:
            writer.write(framed(QUERY))
            await answer(reader)
        reader, extra = await server.connect()
        assert await ended(reader)
        extra.close()
        streams[0][1].close()
        await streams[0][1].wait_closed()

        async def let_in() -> bool:
            reader, writer = await server.connect()
            writer.write(framed(QUERY))
            with contextlib.suppress(OSError, EOFError):
                return (await answer(reader)).rcode() == dns.rcode.NXDOMAIN
            return False

        async with asyncio.timeout(PATIENT_S):
            while not await let_in():
                await asyncio.sleep(0.01)
        for _, writer in streams[1:]:
            writer.close()


async def test_lengths_that_lie_and_packets_that_are_none() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(framed(b"") + framed(b"x") + framed(QUERY[:20]) + framed(QUERY))
        assert (await answer(reader)).rcode() == dns.rcode.FORMERR
        assert (await answer(reader)).rcode() == dns.rcode.NXDOMAIN
        writer.write(b"\xff\xff" + QUERY)
        assert await ended(reader)
        writer.close()


async def test_who_does_not_read_is_let_go() -> None:
    limits = replace(LIMITS, per_second=1e9, burst=10**9, idle_s=60)
    async with serving(limits) as server:
        reader, writer = await server.connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            async with asyncio.timeout(60):
                while not writer.is_closing():
                    writer.write(framed(QUERY) * 1000)
                    await writer.drain()
        assert writer.is_closing()


async def test_answers_come_as_they_are_known() -> None:
    def slow_one(query: dns.message.Message, tcp: bool) -> list[bytes]:
        name = query.question[0].name.to_text()
        return [] if name.startswith("slow") else [dns.message.make_response(query).to_wire()]

    async with upstream(slow_one) as up, serving(LIMITS, up.address) as server:
        reader, writer = await server.connect()
        slow = dns.message.make_query("slow.files.test", "A")
        quick = dns.message.make_query("quick.files.test", "A")
        writer.write(framed(slow.to_wire()) + framed(quick.to_wire()))
        assert quick.is_response(await answer(reader))
        writer.close()


async def test_a_change_of_policy_counts_on_connections_that_are_open() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(framed(QUERY))
        assert (await answer(reader)).rcode() == dns.rcode.NXDOMAIN
        server.attachment.policy = CLOSED
        server.part.change(CLOSED)
        writer.write(framed(QUERY))
        assert (await answer(reader)).rcode() == dns.rcode.REFUSED
        writer.close()


async def test_closing_ends_all() -> None:
    async with serving(replace(LIMITS, idle_s=60)) as server:
        reader, writer = await server.connect()
        writer.write(framed(QUERY))
        await answer(reader)
        await server.part.close()
        assert await ended(reader)
        writer.close()
