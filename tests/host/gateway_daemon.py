"""`python -m tests.host.gateway_daemon FOLDER`: the part of a daemon that has a gateway, to be killed by a test.

Attaches the machine `m`, which may resolve what `NAMES` says and listens on 127.0.0.1, says at which port, and waits.
"""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

import structlog

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Passage, Policy

UID = 1_700_123
NAMES = ("pypi.registry.test",)
POLICY = Policy(Passage.NAMED, 100, NAMES)
NO_UPSTREAM = (("127.0.0.1", 1),)


def home(folder: Path) -> Home:
    return Home(folder / "run", folder / "data" / "gateway", UID)


def around(upstreams: tuple[tuple[str, int], ...] = NO_UPSTREAM) -> Surroundings:
    return Surroundings(Never(), upstreams)


def open_at(port: int) -> Sockets:
    """DNS on 127.0.0.1, by UDP and TCP; port 0 for any that is free."""
    for _ in range(20):
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", port))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            udp.bind(tcp.getsockname())
            tcp.listen()
            return Sockets(dns_udp=(udp,), dns_tcp=(tcp,))
        tcp.close()
        udp.close()
    raise RuntimeError("no port is free for both")


async def main() -> None:
    client = GatewayClient(home(Path(sys.argv[1])))
    client.start()
    opened = open_at(0)
    port = opened.dns_tcp[0].getsockname()[1]

    async def open_sockets() -> Sockets:
        return opened

    await client.surroundings(around())
    await client.attach("m", "bunker", POLICY, open_sockets)
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main())
