"""What connections of one machine may take of the host's kernel, and for how long they may stand."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from scaibunker.worker.gateway.proxy.connection import Connection
from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.proxy.room import WIDE
from scaibunker.worker.gateway.proxy.side import NARROW
from scaibunker.worker.network.never import networks
from tests.integration.proxy.proxied import GOOD, OnlySome, World, world
from tests.integration.proxy.test_proxy import echoing, reset
from tests.waiting import until


@pytest.fixture
async def proxied() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def test_what_the_kernel_holds_for_one_machine_is_bounded(proxied: World) -> None:
    """A few connections may be as fast as they can be; of many, each takes little of what is the whole host's."""

    def buffers(narrow: bool) -> list[Connection]:
        found = []
        for connection in proxied.proxy._connections:
            server = connection._route.server
            assert server is not None
            sizes = [
                side._sock.getsockopt(socket.SOL_SOCKET, option)
                for side in (connection._guest, server)
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF)
            ]
            if (max(sizes) <= 2 * NARROW) is narrow:
                found.append(connection)
        return found

    async def connect(number: int) -> None:
        reader, writer = await proxied.connect()
        writer.write(b"other\n")
        assert await reader.readexactly(6) == b"other\n"
        open_[number] = writer

    open_: dict[int, asyncio.StreamWriter] = {}
    async with proxied.server(echoing):
        for number in range(WIDE + 10):
            await connect(number)
        assert (len(buffers(narrow=False)), len(buffers(narrow=True))) == (WIDE, 10)
        for number in range(5):
            open_[number].close()
        await until(lambda: len(proxied.flows) == 5)
        for number in range(5):
            await connect(number)
        assert (len(buffers(narrow=False)), len(buffers(narrow=True))) == (WIDE, 10)
        for writer in open_.values():
            writer.close()


async def test_a_connection_ends_when_where_it_goes_is_closed_to_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scaibunker.worker.gateway.proxy.part.SWEEP_S", 0.05)
    async with world() as swept, swept.server(echoing):
        reader, writer = await swept.connect()
        writer.write(b"other\n")
        assert await reader.readexactly(6) == b"other\n"
        swept.surroundings.never = OnlySome(networks("127.0.0.77/32"))
        writer.write(b"more\n")
        assert await reader.readexactly(5) == b"more\n"
        swept.surroundings.never = OnlySome(networks(f"{GOOD}/32"))
        assert await reset(reader)
        await until(lambda: swept.flows)
        assert swept.flows[0].reason == Reason.ADDRESS_CLOSED.value
        writer.close()
