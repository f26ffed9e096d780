"""A gateway that runs on the lab's host, and namespaces that stand for machines."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype

from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.gateway.process import MODULE
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Passage, Policy
from tests.host.gateway_daemon import home
from tests.host.lab import Lab, Namespace
from tests.waiting import until

GATEWAY_V4, GATEWAY_V6 = "127.0.0.1", "::1"
ASK_S = 15.0
PROXY_PORT = 3129
REDIRECT = f"""
table inet test {{
    chain out {{
        type nat hook output priority -100
        ip daddr != {GATEWAY_V4} tcp dport 1-65535 redirect to :{PROXY_PORT}
        ip6 daddr != {GATEWAY_V6} tcp dport 1-65535 redirect to :{PROXY_PORT}
    }}
}}
"""


class Machine:
    """`names`: what it may resolve. Its namespace has a loopback and nothing else, on which its resolver listens."""

    def __init__(self, namespace: Namespace, client: GatewayClient) -> None:
        self.namespace = namespace
        self.name = namespace.name
        self._client = client

    async def attach(self, *names: str, passage: Passage = Passage.NAMED) -> None:
        policy = Policy(passage, 100, names)
        await self._client.attach(self.name, self.name, policy, self._open)

    async def change(self, *names: str, passage: Passage = Passage.NAMED) -> None:
        await self._client.change(self.name, self.name, Policy(passage, 100, names))

    async def ask(
        self, name: str, kind: str = "A", *, tcp: bool = False, at: str = GATEWAY_V4
    ) -> dns.message.Message:
        query = dns.message.make_query(name, kind, use_edns=0)
        ask = dns.query.tcp if tcp else dns.query.udp

        def asked() -> dns.message.Message:
            return ask(query, at, timeout=ASK_S)

        return await asyncio.to_thread(self.namespace.call, asked)

    async def addresses(self, name: str, kind: str = "A", **how: bool) -> list[str]:
        message = await self.ask(name, kind, **how)
        wanted = dns.rdatatype.from_text(kind)
        return [d.address for r in message.answer if r.rdtype == wanted for d in r]

    def redirect(self) -> None:
        """As a slot's rules do it: all TCP to elsewhere goes to the proxy, which hears where it was meant to go."""
        self.namespace.batch(
            "address add 198.18.0.2/32 dev lo\naddress add fd5c:a1ba:9000::2/128 dev lo\n"
            "route add 0.0.0.0/0 dev lo\nroute add ::/0 dev lo\n"
        )
        self.namespace.run("nft", "-f", "-", stdin=REDIRECT)

    async def _open(self) -> Sockets:
        return await asyncio.to_thread(self.namespace.call, _open)


def _open() -> Sockets:
    udp, tcp = [], []
    proxied = (
        socket.create_server((GATEWAY_V4, PROXY_PORT), backlog=64),
        socket.create_server((GATEWAY_V6, PROXY_PORT), family=socket.AF_INET6, backlog=64),
    )
    for family, address in ((socket.AF_INET, GATEWAY_V4), (socket.AF_INET6, GATEWAY_V6)):
        for kind, group in ((socket.SOCK_DGRAM, udp), (socket.SOCK_STREAM, tcp)):
            sock = socket.socket(family, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, 53))
            if kind == socket.SOCK_STREAM:
                sock.listen(64)
            group.append(sock)
    return Sockets(tuple(udp), tuple(tcp), proxied)


class Machines:
    def __init__(self, lab: Lab, client: GatewayClient) -> None:
        self._lab = lab
        self.client = client

    def make(self) -> Machine:
        mark = f"sblab-{os.getpid()}-{secrets.token_hex(3)}"
        return Machine(self._lab.namespace(mark), self.client)


@contextlib.asynccontextmanager
async def machines_of(
    lab: Lab, folder: Path, never: Never | None = None, ttl_min_s: int = 5
) -> AsyncIterator[Machines]:
    """The gateway is started inside the lab's host, and adopted by a client that is not."""
    place = home(folder)
    place.run_dir.mkdir(mode=0o700)
    place.root_dir.parent.mkdir(mode=0o700)
    started = await asyncio.create_subprocess_exec(
        *lab.host.command(
            sys.executable, "-P", "-m", MODULE, "--run-dir", str(place.run_dir),
            "--root-dir", str(place.root_dir), "--uid", str(place.uid),
        ),
        start_new_session=True,
    )  # fmt: skip
    client = GatewayClient(place)
    try:
        await until(place.socket.exists)
        client.start()
        await client.surroundings(Surroundings(never or Never(), lab.upstreams, ttl_min_s))
        assert client.pid == started.pid
        yield Machines(lab, client)
    finally:
        await client.stop()
        await started.wait()
