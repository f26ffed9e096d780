"""`python -m benchmarks.resolver_server KIND UPSTREAM_PORT`: what `benchmarks.resolver` measures, in a process of its own.

KIND `resolver` is a machine's resolver, `echo` sends back what it gets. Says its port, and serves until it is ended.
"""

import asyncio
import contextlib
import socket
import sys

import uvloop

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.resolver.limits import Limits
from scaibunker.worker.gateway.resolver.lookup import ResolverLookup
from scaibunker.worker.gateway.resolver.part import Resolver
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Passage, Policy

NAMES = ("pypi.registry.test", "*.files.test")
UNLIMITED = Limits(per_second=1e9, burst=10**9)


async def main() -> None:
    """Entry point."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    if sys.argv[1] == "echo":
        asyncio.get_running_loop().add_reader(sock, _echo, sock)
    else:
        upstreams = (("127.0.0.1", int(sys.argv[2])),)
        lookup = ResolverLookup(Surroundings(Never(), upstreams), UNLIMITED)
        policy = Policy(Passage.NAMED, 100, NAMES)
        Resolver(lookup).start(Attachment("m", "b", policy, Sockets(dns_udp=(sock,))))
    print(sock.getsockname()[1], flush=True)
    await asyncio.Event().wait()


def _echo(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        packet, sender = sock.recvfrom(1500)
        sock.sendto(packet, sender)


if __name__ == "__main__":
    uvloop.run(main())
