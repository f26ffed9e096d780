"""A server that speaks as much S3 as it takes to misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n'


@contextlib.asynccontextmanager
async def bad_server(behaviour: Behaviour) -> AsyncIterator[str]:
    """Its address. Each connection gets the behaviour once its first head is read."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await behaviour(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for task in serving:
            task.cancel()
        server.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything, says nothing."""
    while await reader.read(65536):
        pass


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes nothing and says nothing."""
    await asyncio.Event().wait()


async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says half of it."""
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 500)
    await writer.drain()
    await asyncio.Event().wait()


async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says half of it, and that is all."""
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 500)
    await writer.drain()


async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Has no room left."""
    answer = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    writer.write(answer)
    await writer.drain()
    writer.write_eof()
    while await reader.read(65536):
        pass
