"""The session on a guest channel: handshake, flow control, and every way in which it breaks."""

import asyncio
from pathlib import Path

import pytest

from scaibunker.wire.guest.execs import REPLAY_WINDOW
from scaibunker.wire.guest.handshake import ECHO_MAGIC
from scaibunker.worker.errors import GuestUnreachable
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.guest.connection import open_session
from scaibunker.worker.guest.link import GuestLink
from tests.unit.worker.conftest import Connect, StartAgent
from tests.unit.worker.fake_agent import TOKEN, FakeExchange


async def _echo(exchange: FakeExchange) -> None:
    await exchange.body_ended.wait()
    await exchange.answer(bytes(exchange.body))


async def test_a_request_and_its_answer(connect: Connect) -> None:
    connection = await connect(_echo)
    stream = await connection.request("POST", "/x", body=b"hello")
    assert await stream.response() == 200
    assert await stream.read(100) == b"hello"


async def test_stale_bytes_before_the_echo_are_thrown_away(connect: Connect) -> None:
    stale = b"\x00\x00\x04\x08" * 5000 + ECHO_MAGIC + b"another nonce..." + b"half a fra"
    connection = await connect(_echo, greeting=stale)
    stream = await connection.request("POST", "/x", body=b"hello")
    await stream.response()
    assert await stream.read(100) == b"hello"


async def test_an_agent_that_never_answers_is_told_after_the_timeout(
    start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent(_echo, deaf=True)
    with pytest.raises(GuestUnreachable, match=r"within 1\.4 s"):
        await open_session(tmp_path / "agent.sock", TOKEN, 1.4)
    assert agent.hellos >= 2  # said again after half a second


async def test_a_large_body_goes_both_ways(connect: Connect) -> None:
    connection = await connect(_echo)
    body = bytes(range(256)) * 12_000
    stream = await connection.request("POST", "/x", body=body)
    await stream.response()
    assert await stream.read(len(body)) == body


async def test_a_consumer_that_does_not_read_stops_only_its_own_stream(connect: Connect) -> None:
    written = 0

    async def flood(exchange: FakeExchange) -> None:
        nonlocal written
        await exchange.respond(200)
        if exchange.headers[":path"] == "/flood":
            for _ in range(64):
                await exchange.write(b"x" * 65536)
                written += 65536
        await exchange.end()

    connection = await connect(flood)
    flooding = await connection.request("GET", "/flood")
    await flooding.response()
    for _ in range(20):  # other requests go on meanwhile
        stream = await connection.request("GET", "/small")
        await stream.response()
        assert await stream.read(10) == b""
    assert written <= REPLAY_WINDOW
    assert len(await flooding.read(64 * 65536)) == 64 * 65536


async def test_an_answer_longer_than_its_limit_is_refused(connect: Connect) -> None:
    async def long(exchange: FakeExchange) -> None:
        await exchange.answer(b"x" * 5000)

    connection = await connect(long)
    stream = await connection.request("GET", "/x")
    with pytest.raises(GuestUnreachable, match="longer than 1000 bytes"):
        await stream.read(1000)


async def test_giving_up_a_stream_resets_it_in_the_guest(connect: Connect) -> None:
    exchanges: list[FakeExchange] = []

    async def hang(exchange: FakeExchange) -> None:
        exchanges.append(exchange)
        await exchange.respond(200)

    connection = await connect(hang)
    stream = await connection.request("GET", "/x")
    await stream.response()
    stream.reset()
    async with asyncio.timeout(60):
        await exchanges[0].was_reset.wait()


@pytest.mark.parametrize("how", ["reset", "drop", "garbage"])
async def test_an_answer_that_breaks_off_is_an_error(
    start_agent: StartAgent, tmp_path: Path, how: str
) -> None:
    async def breaking(exchange: FakeExchange) -> None:
        await exchange.respond(200)
        await exchange.write(b"part")
        if how == "reset":
            exchange.break_off()
        elif how == "drop":
            agent.drop_connections()
        else:
            # a SETTINGS frame of five bytes: its length must be a multiple of six
            exchange._session._writer.write(b"\0\0\5\4\0\0\0\0\0" + b"x" * 5)

    agent = await start_agent(breaking)
    connection = await open_session(tmp_path / "agent.sock", TOKEN, 5)
    stream = await connection.request("GET", "/x")
    with pytest.raises(GuestUnreachable):
        await stream.read(1000)
    if how != "reset":
        assert connection.closed.is_set()
        with pytest.raises(GuestUnreachable):
            await connection.request("GET", "/x")
    connection.close()


async def test_an_early_answer_ends_the_sending(connect: Connect) -> None:
    async def refuse(exchange: FakeExchange) -> None:
        await exchange.answer(status=409)

    connection = await connect(refuse)

    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(1000):
            yield b"x" * 65536

    async with asyncio.timeout(60):
        stream = await connection.request("PUT", "/x", body=endless())
        assert await stream.response() == 409


async def test_readers_that_leave_do_not_use_the_connection_up(connect: Connect) -> None:
    async def flood(exchange: FakeExchange) -> None:
        await exchange.answer(b"x" * REPLAY_WINDOW)

    connection = await connect(flood)
    async with asyncio.timeout(60):
        for _ in range(100):  # 25 MiB in all; the connection's window is 16
            stream = await connection.request("GET", "/flood")
            await stream.response()
            await asyncio.sleep(0)
            stream.reset()
        stream = await connection.request("GET", "/flood")
        await stream.response()
        assert len(await stream.read(REPLAY_WINDOW)) == REPLAY_WINDOW


async def test_requests_that_are_given_up_free_their_place(
    start_agent: StartAgent, tmp_path: Path
) -> None:
    async def hang(exchange: FakeExchange) -> None:
        if exchange.headers[":path"] == "/answer":
            await exchange.answer()

    await start_agent(hang)
    agent = GuestAgent(GuestLink(tmp_path / "agent.sock", TOKEN))
    for _ in range(300):  # more than the agent takes at once
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await agent.stream("GET", "/hang")
    async with asyncio.timeout(60):
        stream = await agent.stream("GET", "/answer")
    assert stream.status == 200
    agent.link.close()


@pytest.mark.parametrize("status", ["0", "99", "abc", "600"])
async def test_an_answer_that_is_none_ends_the_session(connect: Connect, status: str) -> None:
    async def lie(exchange: FakeExchange) -> None:
        exchange._session.h2.config.validate_outbound_headers = False
        exchange._session.h2.send_headers(exchange._id, [(":status", status)])
        exchange._session.flush()

    connection = await connect(lie)
    stream = await connection.request("GET", "/x")
    with pytest.raises(GuestUnreachable):
        async with asyncio.timeout(60):
            await stream.response()


async def test_a_flood_of_empty_frames_ends_the_session(connect: Connect) -> None:
    async def flood(exchange: FakeExchange) -> None:
        await exchange.respond(200)
        ping = b"\0\0\10\6\0\0\0\0\0" + b"12345678"
        exchange._session._writer.write(ping * 20_000)

    connection = await connect(flood)
    stream = await connection.request("GET", "/x")
    with pytest.raises(GuestUnreachable, match="floods"):
        async with asyncio.timeout(60):
            await stream.read(10)
