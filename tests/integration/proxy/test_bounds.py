"""What one machine may take of the proxy and of the host's kernel: connections, memory and turns."""

import asyncio
import dataclasses
import itertools
import socket

import pytest

from scaibunker.worker.gateway.proxy.connection import Connection
from scaibunker.worker.gateway.proxy.limits import LIMITS
from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.proxy.room import ENDED_S, WIDE
from scaibunker.worker.gateway.proxy.side import NARROW
from scaibunker.worker.gateway.proxy.words import HEAD_WORK
from scaibunker.worker.gateway.recorder import Verdict
from scaibunker.worker.gateway.shares import ROUND_S
from scaibunker.worker.network.never import networks
from tests.integration.proxy.ends import GET, OK, answering, echoing, is_reset, reset
from tests.integration.proxy.proxied import GOOD, OnlySome, World, world
from tests.waiting import loop_time, until


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


async def test_connections_that_end_at_once_are_put_away_in_turns(
    proxied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, ended = proxied.attachment.share, [0]
    gain = share.gain

    def next_round(seconds: float) -> None:
        ended.append(len(proxied.flows))
        gain(seconds)

    async with proxied.server(echoing):
        open_ = []
        for _ in range(100):
            reader, writer = await proxied.connect()
            writer.write(b"other\n")
            assert await reader.readexactly(6) == b"other\n"
            open_.append(writer)
        monkeypatch.setattr(share, "gain", next_round)
        for writer in open_:
            writer.transport.abort()
        await until(lambda: len(proxied.flows) == 100)
    assert {flow.verdict for flow in proxied.flows} == {Verdict.ALLOWED}
    in_rounds = [after - before for before, after in itertools.pairwise([*ended, 100])]
    assert max(in_rounds) <= ROUND_S / ENDED_S + 1


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
        assert swept.attachment.counts.all() == {"connections": {"address_closed": 1}}
        assert swept.attachment.counts.connections_open == 0
        writer.close()


async def test_connections_beyond_the_limit_are_reset() -> None:
    limits = dataclasses.replace(LIMITS, connections=3)
    async with world(limits) as proxied, proxied.server(echoing):
        kept = [await proxied.connect() for _ in range(3)]
        await until(lambda: len(proxied.proxy._connections) == 3)
        await is_reset(proxied)
        assert proxied.flows[0].reason == Reason.TOO_MANY.value
        kept[0][1].close()
        await until(lambda: len(proxied.flows) == 2)
        reader, writer = await proxied.connect()
        writer.write(b"other\n")
        assert await reader.readexactly(6) == b"other\n"
        for _, open_ in (*kept, (reader, writer)):
            open_.close()


async def test_what_receivers_do_not_take_is_not_read_and_what_is_held_is_bounded() -> None:
    limits = dataclasses.replace(LIMITS, held=1_000_000)
    async with world(limits) as proxied:

        async def pouring(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                writer.write(bytes(1_000_000))
                await writer.drain()

        async with proxied.server(pouring):
            open_ = [await proxied.connect() for _ in range(40)]
            for _, writer in open_:
                writer.write(b"other\n")
            setting = proxied.proxy._setting
            assert setting is not None

            def stalled() -> bool:
                connections = list(proxied.proxy._connections)
                return len(connections) == 40 and all(
                    c._route.server is not None and c._route.server._pauses for c in connections
                )

            # Their readers' own buffers fill, then the kernel's, then ours.
            for reader, _ in open_:
                reader._transport.pause_reading()
            await until(stalled, 60)
            assert 0 < setting.room.held <= 1_000_000 + 40 * 4096
            for _, writer in open_:
                writer.transport.abort()
            await until(lambda: len(proxied.flows) == 40)
            await until(lambda: setting.room.held == 0)


async def test_new_connections_wait_their_turn() -> None:
    limits = dataclasses.replace(LIMITS, burst=5, per_second=20)
    async with world(limits) as proxied, proxied.server(answering), loop_time() as clock:
        for _ in range(15):
            reader, writer = await proxied.connect()
            writer.write(GET)
            assert await reader.readexactly(len(OK)) == OK
            writer.close()
        assert clock.seconds > 0.3


async def test_a_guest_that_has_much_judged_does_not_keep_others_from_their_turn(
    proxied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are few, and work much: it is done in many turns, and in order."""
    count, turns = 3000, 0
    heard: list[bytes] = []

    async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"GET"):
                heard.append(line)

    def counted() -> float:
        nonlocal turns
        turns += 1
        return go_on()

    share = proxied.attachment.share
    go_on = share.go_on
    monkeypatch.setattr(share, "go_on", counted)
    async with proxied.server(taking):
        _, writer = await proxied.connect()
        for number in range(count):
            writer.write(GET.replace(b"/ ", b"/%d " % number))
        await until(lambda: len(heard) == count)
        writer.close()
    assert heard == [b"GET /%d HTTP/1.1\r\n" % number for number in range(count)]
    assert turns > count * HEAD_WORK / 1_000_000 / ROUND_S / 2
