"""`python -m benchmarks.crowd_server KIND ...`: the processes that `benchmarks.crowd` measures with.

`gateway FILES ELSEWHERE UPSTREAM MACHINES FOLDER` serves so many machines; the connections of the first go to the port FILES, all
others' to ELSEWHERE. `elsewhere` gives and takes bytes, and answers questions. Each says its ports, and serves until it is ended.
"""

import asyncio
import contextlib
import ipaddress
import socket
import sys
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.relay_server import HOST, NAME, PIECE, Anywhere
from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.flows.part import FlowsPart
from scaibunker.worker.gateway.proxy.part import Proxy
from scaibunker.worker.gateway.resolver.lookup import ResolverLookup
from scaibunker.worker.gateway.resolver.part import Resolver
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.gateway.table import Table
from scaibunker.worker.network.policy import Passage, Policy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ANSWER = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + HOST.packed
POLICY = Policy(Passage.NAMED, 100, (NAME, f"*.{NAME}"), audited=True)


async def gateway(files: int, elsewhere: int, upstream: int, machines: int, folder: Path) -> None:
    """All in it but its confinement, and who serves it sockets."""
    surroundings = Surroundings(Anywhere(), (("127.0.0.1", upstream),))
    lookup = ResolverLookup(surroundings)
    goes: dict[int, int] = {}

    def original(accepted: socket.socket) -> tuple[Address, int]:
        return HOST, goes[accepted.getsockname()[1]]

    table = Table(
        [
            FlowsPart,
            lambda: Resolver(lookup),
            lambda: Proxy(surroundings, lookup, original=original),
        ],
        folder,
    )
    for number in range(machines):
        asked, named = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        for sock in (asked, named):
            sock.bind((str(HOST), 0))
        named.listen(4096)
        goes[named.getsockname()[1]] = elsewhere if number else files
        print(asked.getsockname()[1], named.getsockname()[1], flush=True)
        sockets = Sockets(dns_udp=(asked,), proxied=(named,))
        await table.attach(f"m{number}", f"bnk_{number}", POLICY, sockets)
    await asyncio.Event().wait()


class Upstream(asyncio.DatagramProtocol):
    """Every name is here."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        end = data.index(b"\0", 12) + 5
        is_a = data[end - 3] == 1
        head = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + bytes(4)
        self._transport.sendto(head + data[12:end] + (ANSWER if is_a else b""), addr)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A request says how many bytes it wants (GET /count), or brings more than anybody counts (POST)."""
    with contextlib.suppress(OSError, EOFError):
        while line := await reader.readline():
            method, target, _ = line.split()
            while await reader.readline() != b"\r\n":
                pass
            if method == b"POST":
                while await reader.read(len(PIECE)):
                    pass
                break
            left = int(target[1:])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
            while left:
                writer.write(PIECE[:left])
                left -= min(left, len(PIECE))
                await writer.drain()
    writer.close()


async def elsewhere() -> None:
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(_serve, str(HOST), 0, backlog=4096)
    transport, _ = await loop.create_datagram_endpoint(Upstream, local_addr=(str(HOST), 0))
    print(server.sockets[0].getsockname()[1], transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Entry point."""
    if sys.argv[1] == "elsewhere":
        uvloop.run(elsewhere())
    else:
        files, there, upstream, machines = map(int, sys.argv[2:6])
        uvloop.run(gateway(files, there, upstream, machines, Path(sys.argv[6])))


if __name__ == "__main__":
    main()
