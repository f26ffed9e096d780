"""Both ends of a connection through the proxy: servers, and guests that are reset."""

import asyncio
import contextlib

from tests.integration.proxy.proxied import World

GET = b"GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One answer for each request without a body."""
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def reset(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), 10)
    except ConnectionResetError:
        return True
    return False


async def is_reset(proxied: World) -> None:
    """A new connection."""
    with contextlib.suppress(ConnectionResetError):
        reader, _ = await proxied.connect()
        assert await reset(reader)
