"""A resolver on 127.0.0.1 that answers as a test tells it, rightly or not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import dns.message

Answer = Callable[[dns.message.Message, bool], Sequence[bytes]]
"""From a question, and whether it came by TCP, to what is sent."""


class UpstreamServer(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[dns.message.Message, bool]] = []
        self.address = ("127.0.0.1", 0)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        for message in self._answers(data, tcp=False):
            self._transport.sendto(message, addr)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            length = int.from_bytes(await reader.readexactly(2))
            for message in self._answers(await reader.readexactly(length), tcp=True):
                writer.write(len(message).to_bytes(2) + message)
            await writer.drain()
        writer.close()

    def _answers(self, data: bytes, *, tcp: bool) -> Sequence[bytes]:
        query = dns.message.from_wire(data)
        self.asked.append((query, tcp))
        return self.answer(query, tcp)


@contextlib.asynccontextmanager
async def upstream(answer: Answer) -> AsyncIterator[UpstreamServer]:
    """UDP and TCP on one port."""
    loop, made = asyncio.get_running_loop(), UpstreamServer(answer)
    server = await asyncio.start_server(made.converse, "127.0.0.1", 0)
    made.address = server.sockets[0].getsockname()[:2]
    transport, _ = await loop.create_datagram_endpoint(lambda: made, local_addr=made.address)
    try:
        yield made
    finally:
        transport.close()
        server.close()
        await server.wait_closed()
