"""HTTP passes to the host that it names, and is told why if it does not."""

import asyncio
import os

import pytest

from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.recorder import Verdict
from tests.integration.proxy.ends import GET, OK, answering, echoing, reset, silent
from tests.integration.proxy.proxied import ALSO, GOOD, World
from tests.waiting import until


async def test_http_passes_to_where_the_proxy_finds_the_host(proxied: World) -> None:
    """The address that the guest chose is another permitted name's: that does not matter."""
    proxied.wanted = (ALSO, proxied.port)
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK
        writer.close()
        await until(lambda: proxied.flows)
    (flow,) = proxied.flows
    assert flow.verdict is Verdict.ALLOWED
    assert flow.host == "good.test"
    assert flow.destination == (str(ALSO), proxied.port)
    assert flow.dialled == (str(GOOD), proxied.port)
    assert (flow.bytes_sent, flow.bytes_received) == (2 * len(GET), 2 * len(OK))
    assert flow.reason is None


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (GET.replace(b"good", b"bad"), b"403", Reason.HTTP_HOST),
        (GET.replace(b"Host", b"Hosts"), b"403", Reason.HTTP_NO_HOST),
        (
            b"CONNECT good.test:443 HTTP/1.1\r\nHost: good.test:443\r\n\r\n",
            b"403",
            Reason.HTTP_CONNECT,
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"403", Reason.HTTP_2),
    ],
)
async def test_http_that_is_refused_is_told_why(
    proxied: World, request_: bytes, status: bytes, reason: Reason
) -> None:
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(request_)
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(f"{reason.value}\n".encode())
    await until(lambda: proxied.flows)
    assert proxied.flows[0].verdict is Verdict.REFUSED
    assert proxied.flows[0].reason == reason.value
    assert proxied.flows[0].dialled is None


async def test_another_host_on_the_same_connection_is_told_so(proxied: World) -> None:
    async with proxied.server(answering):
        reader, writer = await proxied.connect()
        writer.write(GET)
        await reader.readexactly(len(OK))
        writer.write(GET.replace(b"good", b"also"))
        assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
        writer.close()


async def test_an_answer_that_is_under_way_is_not_disturbed_by_a_refusal(proxied: World) -> None:
    async with proxied.server(silent):
        reader, writer = await proxied.connect()
        writer.write(GET)
        await until(lambda: proxied.asked)
        writer.write(GET.replace(b"good", b"bad"))
        assert await reset(reader)
        writer.close()


async def test_a_websocket_passes(proxied: World) -> None:
    async def agreeing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        await echoing(reader, writer)

    async with proxied.server(agreeing):
        reader, writer = await proxied.connect()
        writer.write(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x05hello")
        assert await reader.readexactly(7) == b"\x81\x05hello"
        writer.close()


async def test_an_upload_passes_unread_and_the_next_request_is_judged(proxied: World) -> None:
    size = 5_000_000
    body = os.urandom(size)
    heard: list[bytes] = []

    async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.append(await reader.readexactly(size))
        writer.write(OK)
        heard.append(await reader.read(1))

    async with proxied.server(taking):
        reader, writer = await proxied.connect()
        head = b"POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: %d\r\n\r\n" % size
        writer.write(head + body)
        assert await reader.readexactly(len(OK)) == OK
        writer.write(GET.replace(b"good", b"bad"))
        assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
        writer.close()
        await until(lambda: proxied.flows)
    assert heard == [body]
    assert proxied.flows[0].bytes_sent == len(head) + size + len(GET) - 1
