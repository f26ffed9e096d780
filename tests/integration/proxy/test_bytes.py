"""Bytes pass as they are, and each end is told how the other one ends."""

import asyncio
import contextlib
import dataclasses
import os

import pytest

from scaibunker.worker.gateway.proxy.limits import LIMITS
from scaibunker.worker.gateway.proxy.refusal import Reason
from tests.integration.proxy.ends import echoing, reset
from tests.integration.proxy.proxied import World, world
from tests.waiting import until


@pytest.mark.parametrize("size", [1, 1_000_000, 20_000_000])
async def test_bytes_pass_as_they_are_both_ways_and_each_end_is_told(
    proxied: World, size: int
) -> None:
    async with proxied.server(echoing):
        reader, writer = await proxied.connect()
        data = b"\n" + os.urandom(size)

        async def send() -> None:
            writer.write(b"other" + data)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read(-1) == b"other" + data
        await sending
        writer.close()
        await until(lambda: proxied.flows)
    assert proxied.flows[0].bytes_sent == proxied.flows[0].bytes_received == 6 + size
    assert proxied.flows[0].reason is None


async def test_a_guest_that_resets_is_passed_on(proxied: World) -> None:
    ended: list[object] = []

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        try:
            ended.append(await reader.read())
        except ConnectionResetError as error:
            ended.append(error)

    async with proxied.server(waiting):
        _, writer = await proxied.connect()
        writer.write(b"other\n")
        await writer.drain()
        await until(lambda: proxied.proxy._connections)
        await asyncio.sleep(0)
        writer.transport.abort()
        await until(lambda: ended and proxied.flows)


async def test_a_server_that_resets_is_passed_on(proxied: World) -> None:
    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with proxied.server(breaking):
        reader, writer = await proxied.connect()
        writer.write(b"other\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_idle_connections_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaibunker.worker.gateway.proxy.part.SWEEP_S", 0.05)
    limits = dataclasses.replace(LIMITS, idle_s=0.3)
    async with world(limits) as proxied, proxied.server(echoing):
        reader, writer = await proxied.connect()
        writer.write(b"other\n")
        assert await reader.readexactly(6) == b"other\n"
        assert await reset(reader)
        writer.close()
    assert proxied.flows[0].reason == Reason.IDLE.value


async def test_closing_ends_all_and_leaves_nothing() -> None:
    async with world() as proxied, proxied.server(echoing):
        open_ = [await proxied.connect() for _ in range(20)]
        for _, writer in open_[:10]:
            writer.write(b"other\n")
        await until(lambda: len(proxied.proxy._connections) == 20)
        await proxied.proxy.close()
        for reader, writer in open_:
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
    assert len(proxied.flows) == 20
