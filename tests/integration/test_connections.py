"""What a stranger can do to the server before there is a request."""

import asyncio
import json
import time

import httpx
import pytest

from scaigrid.http.protocol import MAX_HEAD
from tests.integration.stack import Knobs, Stack
from tests.integration.stores import ONE_DATABASE
from tests.waiting import loop_time, until

HEAD_TIMEOUT_S = 1.0
MOST = 12


@pytest.fixture
def knobs() -> Knobs:
    return Knobs(http={"head_timeout_s": HEAD_TIMEOUT_S, "max_connections": MOST})


async def connected(stack: Stack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", stack.client.base_url.port or 0)


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes the connection."""
    try:
        async with asyncio.timeout(HEAD_TIMEOUT_S + 60):
            return await reader.read()
    except ConnectionError:
        return b""


@ONE_DATABASE
@pytest.mark.parametrize(
    "begin",
    [b"GET /", b"GET /health HTTP/1.1\r\nX-A: ", b"GET /health HTTP/1.1\r\nHost: x\r\n"],
    ids=["url", "value", "headers"],
)
async def test_an_endless_head_is_refused(bare: Stack, begin: bytes) -> None:
    reader, writer = await connected(bare)
    writer.write(begin)
    sent = 0
    piece = b"X-B: y\r\n" * 1000 if begin.endswith(b"x\r\n") else b"y" * 8192
    answer = asyncio.create_task(closed(reader))
    while not answer.done() and sent < 100 * MAX_HEAD:
        try:
            writer.write(piece)
            await writer.drain()
        except ConnectionError:
            break
        sent += len(piece)
        await asyncio.sleep(0)
    assert (await answer).startswith((b"HTTP/1.1 431", b"HTTP/1.1 400")) or sent < 20 * MAX_HEAD
    assert sent < 100 * MAX_HEAD
    writer.close()
    assert (await bare.call("GET", "/health", None)).status_code == 200


async def test_what_is_no_request_is_refused_as_all_else_is(bare: Stack) -> None:
    reader, writer = await connected(bare)
    writer.write(b"hello\r\n\r\n")
    head, _, body = (await closed(reader)).partition(b"\r\n\r\n")
    refusal = json.loads(body)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert refusal["error"]["code"] == "VALIDATION_ERROR"
    assert f"x-request-id: {refusal['meta']['request_id']}".encode() in head.lower()
    writer.close()


@pytest.mark.parametrize("said", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(bare: Stack, said: bytes) -> None:
    reader, writer = await connected(bare)
    begun = time.monotonic()
    async with loop_time() as clock:
        writer.write(said)
        assert await closed(reader) == b""
        assert time.monotonic() - begun >= HEAD_TIMEOUT_S * 0.9
        assert clock.seconds < HEAD_TIMEOUT_S + 9
    writer.close()


async def test_the_second_request_of_a_connection_is_held_to_it_too(bare: Stack) -> None:
    reader, writer = await connected(bare)
    whole = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(whole)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    await asyncio.sleep(HEAD_TIMEOUT_S * 1.5)  # between requests there is time
    writer.write(whole[:10])
    assert b"HTTP/1.1" not in await closed(reader)
    writer.close()


async def test_one_connection_too_many_is_closed_and_the_others_serve(bare: Stack) -> None:
    first = await connected(bare)
    others = [await connected(bare) for _ in range(2 * MOST)]
    await until(
        lambda: sum(reader.at_eof() or bool(reader.exception()) for reader, _ in others) > 0
    )
    for request in range(2):
        first[1].write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await first[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200"), request
        await first[0].readuntil(b"}}")
    for _, writer in [first, *others]:
        writer.close()
    await until(lambda: _serves(bare))


async def _serves(stack: Stack) -> bool:
    try:
        return (await stack.call("GET", "/health", None)).status_code == 200
    except httpx.TransportError:
        return False
