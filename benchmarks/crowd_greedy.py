"""`python -m benchmarks.crowd_greedy`: machines that want all of a gateway. Reads from standard input what they want from now on: a line of
JSON with `kinds` and `machines`, pairs of the ports of their resolvers and proxies; says `ready` when it is under way."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import uvloop

from benchmarks.relay_server import NAME

HOST = "127.0.0.1"
PER_SECOND, UNDER_WAY = 100, 100
"""Connections of one machine, and how many of them wait at most."""
QUESTIONS, TICK_S = 500, 0.02
DOWNLOADS, TRICKLES = 8, 64
NICENESS = 3
"""The machine that is measured, and the gateway, come first: greedy ones have what time is left."""
GET = f"GET /%d HTTP/1.1\r\nHost: {NAME}\r\n\r\n"
POST = f"POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {1 << 40}\r\n\r\n"
NUMBERS = itertools.count()


async def connections(_asked: int, proxied: int) -> None:
    """Each for one byte."""
    room, under_way = asyncio.Semaphore(UNDER_WAY), set[asyncio.Task[None]]()

    async def one() -> None:
        async with room:
            with contextlib.suppress(OSError):
                async with _connected(proxied) as sock:
                    await asyncio.get_running_loop().sock_sendall(sock, (GET % 1).encode())
                    await asyncio.get_running_loop().sock_recv(sock, 100)

    try:
        while True:
            await asyncio.sleep(TICK_S)
            for _ in range(int(PER_SECOND * TICK_S)):
                if len(under_way) < 2 * UNDER_WAY:
                    task = asyncio.create_task(one())
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
    finally:
        for task in under_way:
            task.cancel()


async def questions(asked: int, _proxied: int) -> None:
    """For ever new names."""
    with _asking(asked) as sock:
        while True:
            await asyncio.sleep(TICK_S)
            for _ in range(int(QUESTIONS * TICK_S)):
                with contextlib.suppress(OSError):
                    sock.send(_question(b"\x09x%08d" % next(NUMBERS)))
            with contextlib.suppress(OSError):
                while True:
                    sock.recv(1500)


def _question(label: bytes = b"") -> bytes:
    name = label + b"".join(len(word).to_bytes() + word.encode() for word in NAME.split("."))
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\1\0\1"


@contextlib.contextmanager
def _asking(asked: int) -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, asked))
        sock.setblocking(False)
        yield sock


async def _machine(kinds: list[str], asked: int, proxied: int) -> None:
    """It asks for the name first, without which it reaches nothing."""
    with _asking(asked) as sock:
        sock.send(_question())
        await asyncio.get_running_loop().sock_recv(sock, 1500)
    await asyncio.gather(*(KINDS[kind](asked, proxied) for kind in kinds))


async def downloads(_asked: int, proxied: int) -> None:
    async def one() -> None:
        async with _connected(proxied) as sock:
            loop, buffer = asyncio.get_running_loop(), bytearray(1 << 18)
            await loop.sock_sendall(sock, (GET % (1 << 40)).encode())
            while await loop.sock_recv_into(sock, buffer):
                pass

    await _many(one, DOWNLOADS)


async def trickles(_asked: int, proxied: int) -> None:
    """Uploads, byte by byte."""

    async def one() -> None:
        async with _connected(proxied) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, POST.encode())
            while True:
                with contextlib.suppress(BlockingIOError):
                    sock.send(b"x")
                await asyncio.sleep(TICK_S / 10)

    await _many(one, TRICKLES)


async def _many(one: Callable[[], Awaitable[None]], count: int) -> None:
    async def again() -> None:
        while True:
            with contextlib.suppress(OSError):
                await one()
            await asyncio.sleep(TICK_S)

    await asyncio.gather(*(again() for _ in range(count)))


@contextlib.asynccontextmanager
async def _connected(port: int) -> AsyncIterator[socket.socket]:
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
        yield sock


KINDS = {
    "connections": connections,
    "questions": questions,
    "downloads": downloads,
    "trickles": trickles,
}


async def main() -> None:
    """Entry point."""
    loop, running = asyncio.get_running_loop(), list[asyncio.Task[None]]()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted = json.loads(line)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        running = [
            asyncio.create_task(_machine(wanted["kinds"], asked, proxied))
            for asked, proxied in wanted["machines"]
        ]
        print("ready", flush=True)
    for task in running:
        task.cancel()


if __name__ == "__main__":
    os.nice(NICENESS)
    uvloop.run(main())
