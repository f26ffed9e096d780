"""Questions by TCP: many on one connection, answered in the order in which the answers are known."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Coroutine

import structlog

from scaibunker.worker.gateway.resolver.conversation import Conversation, Heard
from scaibunker.worker.gateway.resolver.limits import CONNECTION_S, QUESTION_S, Limits, TokenBucket
from scaibunker.worker.gateway.shares import Share

log = structlog.get_logger(__name__)

ACCEPT_PAUSE_S = 0.2
BUSY_PAUSE_S = 0.05
WRITE_S = 5.0
"""That a guest may take to read what it asked for."""
BUFFER_BYTES = 64 * 1024


class TcpServer:
    """Serves listening, non-blocking sockets until `close`, and does not close them."""

    def __init__(
        self,
        listeners: tuple[socket.socket, ...],
        conversation: Conversation,
        limits: Limits,
        share: Share,
    ) -> None:
        self._conversation = conversation
        self._limits = limits
        self._share = share
        self._connections = 0
        rate = limits.connections_per_second
        self._new = TokenBucket(rate, 2 * rate)
        self._tasks: set[asyncio.Task[None]] = set()
        for listener in listeners:
            self._go(self._accept(listener))

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._new.take():  # the kernel keeps a few waiting, and drops what is more
                await asyncio.sleep(BUSY_PAUSE_S)
                continue
            await self._share.turn(0.0)
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("resolver_accept", error=str(error))
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            self._share.spend(CONNECTION_S)
            if self._connections >= self._limits.connections:
                sock.close()
                continue
            self._connections += 1
            self._go(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER_BYTES)
            await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._connections -= 1
            if writer is None:
                sock.close()
            else:
                writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        room = asyncio.Semaphore(self._limits.pipelined)
        send = functools.partial(_send, writer)
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    length = int.from_bytes(await reader.readexactly(2))
                    packet = await reader.readexactly(length)
            except EOFError:
                break
            await room.acquire()
            await self._share.turn(QUESTION_S)
            heard = self._conversation.hear(packet, send, tcp=True, over=room.release)
            if heard is not Heard.WAITS:
                room.release()
            if heard is Heard.TOO_MUCH:
                await asyncio.sleep(BUSY_PAUSE_S)
            async with asyncio.timeout(WRITE_S):
                await writer.drain()
        for _ in range(self._limits.pipelined):  # the guest has only said that it asks no more
            await room.acquire()
        async with asyncio.timeout(WRITE_S):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def _go(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # closed meanwhile
        if not writer.is_closing():
            writer.write(len(message).to_bytes(2) + message)
