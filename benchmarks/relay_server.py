"""`python -m benchmarks.relay_server KIND PORT`: what `benchmarks.relay` measures, in a process of its own.

KIND `server` gives and takes bytes (PORT counts for nothing), `bare` is a relay to PORT as small as uvloop makes one,
`proxy` the gateway's. Says its port, and serves until it is ended.
"""

import asyncio
import ipaddress
import socket
import sys
import threading
from typing import cast

import uvloop

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.lookup import Address
from scaibunker.worker.gateway.proxy.part import Proxy
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Passage, Policy

HOST = ipaddress.ip_address("127.0.0.1")
NAME = "files.test"
PIECE = bytes(256 * 1024)


def main() -> None:
    """Entry point."""
    kind, port = sys.argv[1], int(sys.argv[2])
    listening = socket.socket()
    listening.bind((str(HOST), 0))
    listening.listen(1024)
    print(listening.getsockname()[1], flush=True)
    if kind == "server":
        while True:
            threading.Thread(target=_serve, args=listening.accept()[:1], daemon=True).start()
    listening.setblocking(False)
    uvloop.run(_relay(listening, port) if kind == "bare" else _proxy(listening, port))


def _serve(sock: socket.socket) -> None:
    """A request says how many bytes it wants (GET /count) or brings (POST /count)."""
    with sock, sock.makefile("rb") as lines:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while line := lines.readline():
            method, target, _ = line.split()
            count = int(target[1:])
            while lines.readline() != b"\r\n":
                pass
            if method == b"POST":
                left = count
                while left:
                    left -= len(lines.read1(min(left, len(PIECE))))
                count = 0
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count)
            for start in range(0, count, len(PIECE)):
                sock.sendall(PIECE[: count - start])


class Bare(asyncio.Protocol):
    """One half of a relay that judges nothing and records nothing."""

    def __init__(self, port: int, peer: "Bare | None" = None) -> None:
        self.port = port
        self.peer = peer
        self.transport: asyncio.Transport | None = None
        self._early = b""
        self._connecting: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.peer is None:
            self._connecting = asyncio.create_task(
                asyncio.get_running_loop().create_connection(
                    lambda: Bare(self.port, self), str(HOST), self.port
                )
            )
        else:
            self.peer.peer = self
            self.transport.write(self.peer._early)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)
        else:
            self._early += data  # a request's head

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()


async def _relay(listening: socket.socket, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Bare(port), sock=listening)
    await server.serve_forever()


class Anywhere(Never):
    """Loopback is where the benchmark lives."""

    def forbids(self, _address: Address, _passage: Passage) -> bool:
        return False


class Here:
    """A `Lookup` to which every name is here."""

    async def addresses(self, _name: str, _attachment: Attachment) -> list[Address]:
        return [HOST]


async def _proxy(listening: socket.socket, port: int) -> None:
    policy = Policy(Passage.NAMED, 100, (NAME,))
    attachment = Attachment("m", "b", policy, Sockets(proxied=(listening,)))
    attachment.answers.learn(NAME, HOST, 1e9)
    proxy = Proxy(Surroundings(Anywhere(), ()), Here(), original=lambda _: (HOST, port))
    proxy.start(attachment)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
