"""Runs services in namespaces, by an event loop in a thread of its own, so that a test may block as it likes."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from tests.host.lab.datagrams import DatagramService, open_socket
from tests.host.lab.namespaces import Namespace
from tests.host.lab.streams import CHUNK_BYTES, Services

T = TypeVar("T")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FAMILIES = (socket.AF_INET, socket.AF_INET6)
LIMIT_S = 30
BACKLOG = 512


class Server:
    """What it was asked to serve, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab", daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[DatagramService] = []

    def streams(
        self, namespace: Namespace, port: int, handler: Handler, tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve TCP on every address of the namespace."""
        for family in FAMILIES:
            self._listen(namespace.call(lambda f=family: _listener(f, port)), handler, tls)

    def datagrams(self, namespace: Namespace, port: int, services: Services) -> None:
        for family in FAMILIES:
            sock = namespace.call(lambda f=family: open_socket(f, port))
            service = DatagramService(sock, services)
            self._datagrams.append(service)
            self._loop.call_soon_threadsafe(service.start, self._loop)

    def relay(
        self,
        listen: Namespace | None,
        at: tuple[str, int],
        to: Namespace | None,
        target: tuple[str, int],
    ) -> int:
        """Pass TCP from `at` (port 0: any) on to `target`; None is the test's own namespace. Gives the port."""

        def opened() -> socket.socket:
            return _listener(_family(at[0]), at[1], at[0])

        def outward() -> socket.socket:
            return socket.socket(_family(target[0]), socket.SOCK_STREAM)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sock = await asyncio.to_thread(to.call, outward) if to else outward()
            sock.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(sock, target)
            except OSError:
                sock.close()
                return
            far_reader, far_writer = await asyncio.open_connection(sock=sock)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
            await _close(far_writer)

        sock = listen.call(opened) if listen else opened()
        port: int = sock.getsockname()[1]
        self._listen(sock, handle, None)
        return port

    def close(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    def _listen(self, sock: socket.socket, handler: Handler, tls: ssl.SSLContext | None) -> None:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, EOFError, ValueError, asyncio.IncompleteReadError):
                await handler(reader, writer)
            await _close(writer)

        async def start() -> None:
            self._servers.append(await asyncio.start_server(guarded, sock=sock, ssl=tls))

        self._run(start())

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for service in self._datagrams:
            service.close(self._loop)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _listener(family: socket.AddressFamily, port: int, address: str = "") -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
