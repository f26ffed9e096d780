"""Who speaks first: a server is heard before the guest is judged, and what the guest then names counts."""

import asyncio
import contextlib
import dataclasses

from scaibunker.worker.gateway.proxy.limits import LIMITS
from scaibunker.worker.gateway.proxy.refusal import Reason
from tests.integration.proxy.ends import GET, OK, answering, reset, silent
from tests.integration.proxy.proxied import ALSO, GOOD, World, world
from tests.waiting import until


async def test_a_server_that_speaks_first_is_heard_and_then_the_guest_is_judged(
    proxied: World,
) -> None:
    heard: list[bytes] = []

    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        heard.append(await reader.readline())
        writer.write(b"250 yes\r\n")
        heard.append(await reader.read())

    async with proxied.server(greeting):
        reader, writer = await proxied.connect()
        assert await reader.readline() == b"220 ready\r\n"
        writer.write(b"EHLO me\r\n")
        assert await reader.readline() == b"250 yes\r\n"
        writer.close()
        await until(lambda: len(heard) == 2 and proxied.flows)
        reader, writer = await proxied.connect()
        await reader.readline()
        writer.write(GET.replace(b"good", b"bad"))
        await reader.read()
        writer.close()
        await until(lambda: len(proxied.flows) == 2)
    assert heard == [b"EHLO me\r\n", b""]
    assert proxied.flows[0].host == "good.test"
    assert proxied.flows[0].dialled == (str(GOOD), proxied.port)
    assert proxied.flows[1].reason == Reason.HTTP_HOST.value


async def test_a_name_of_another_server_than_the_one_that_spoke_first_is_refused(
    proxied: World,
) -> None:
    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        await reader.read()

    async with proxied.server(greeting):
        reader, writer = await proxied.connect()
        await reader.readline()
        writer.write(GET.replace(b"good", b"also"))
        await until(lambda: proxied.flows)
        writer.close()
    assert proxied.flows[0].reason == Reason.OTHER_SERVER.value


async def test_a_guest_that_is_late_gets_the_server_it_names(proxied: World) -> None:
    connected: list[bytes] = []

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(b"connected")
        with contextlib.suppress(ConnectionResetError):
            connected.append(await reader.read(10))
        connected.append(b"gone")

    async with proxied.server(noting), proxied.server(answering, ALSO):
        reader, writer = await proxied.connect()
        await until(lambda: connected)
        writer.write(GET.replace(b"good", b"also"))
        assert await reader.readexactly(len(OK)) == OK
        await until(lambda: len(connected) == 2)
        writer.close()
    assert connected == [b"connected", b"gone"]


async def test_a_head_that_does_not_come_to_its_end_is_refused() -> None:
    limits = dataclasses.replace(LIMITS, judge_s=0.2)
    async with world(limits) as proxied, proxied.server(silent):
        reader, writer = await proxied.connect()
        writer.write(GET[:-2])
        assert Reason.TOO_SLOW.value.encode() in await reader.read()
        writer.close()
        reader, writer = await proxied.connect()
        writer.write(b"\x16\x03\x01")
        assert (await reader.read())[0] == 0x15
        writer.close()
        reader, writer = await proxied.connect()
        writer.write(b"FOO ")
        assert await reset(reader)
        writer.close()
