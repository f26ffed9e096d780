"""A proxy on loopback: what the kernel would say of where a connection wanted to go, the test says."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from scaibunker.worker.gateway.attachment import Attachment, Sockets
from scaibunker.worker.gateway.lookup import Unresolved
from scaibunker.worker.gateway.proxy.limits import LIMITS, Limits
from scaibunker.worker.gateway.proxy.part import Proxy
from scaibunker.worker.gateway.recorder import Flow
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.policy import Passage, Policy
from tests.ports import free_port

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

GOOD, ALSO, BAD = (ipaddress.ip_address(f"127.0.0.{n}") for n in (2, 3, 4))
NAMED = Policy(Passage.NAMED, 100, names=("good.test", "also.test", "gone.test", "*.many.test"))


class OnlySome(Never):
    """Loopback is where these tests live, so that it is not closed here."""

    def forbids(self, address: Address, passage: Passage) -> bool:
        return any(address in closed for closed in self.vicinity)


@dataclass
class World:
    """`wanted`: where the next connections go. `flows`: what was recorded. `seen`: what servers were sent."""

    port: int
    proxy: Proxy
    attachment: Attachment
    surroundings: Surroundings
    listening: socket.socket
    addresses: dict[str, list[Address]]
    wanted: tuple[Address, int]
    flows: list[Flow] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.listening.getsockname())

    @contextlib.asynccontextmanager
    async def server(self, serve: Serve, address: Address = GOOD) -> AsyncIterator[None]:
        running: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async def handle() -> None:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    await serve(reader, writer)
                writer.close()

            task = asyncio.create_task(handle())
            running.add(task)
            task.add_done_callback(running.discard)

        server = await asyncio.start_server(accepted, str(address), self.port)
        try:
            yield
        finally:
            server.close()
            for task in list(running):
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    # As a Lookup, and as a Recorder.

    async def look_up(self, name: str) -> list[Address]:
        self.asked.append(name)
        if name not in self.addresses:
            raise Unresolved("no such name")
        return self.addresses[name]

    def record(self, flow: Flow) -> None:
        self.flows.append(flow)

    def change(self, policy: Policy) -> None:
        self.attachment.policy = policy
        self.proxy.change(policy)


class _Lookup:
    def __init__(self) -> None:
        self.world: World | None = None

    async def addresses(self, name: str, attachment: Attachment) -> list[Address]:
        assert self.world is not None
        return await self.world.look_up(name)


@contextlib.asynccontextmanager
async def world(limits: Limits = LIMITS, policy: Policy = NAMED) -> AsyncIterator[World]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    listening.setblocking(False)
    surroundings, lookup = Surroundings(OnlySome(), ()), _Lookup()
    attachment = Attachment("bnk", "bnk", policy, Sockets(proxied=(listening,)))
    holder: list[World] = []
    proxy = Proxy(
        surroundings,
        lookup,
        limits,
        original=lambda _: holder[0].wanted,
    )
    port = free_port()
    made = World(
        port=port,
        proxy=proxy,
        attachment=attachment,
        surroundings=surroundings,
        listening=listening,
        addresses={"good.test": [GOOD], "also.test": [ALSO], "a.many.test": [BAD, GOOD]},
        wanted=(GOOD, port),
    )
    holder.append(made)
    attachment.recorder = made
    lookup.world = made
    for name in ("good.test", "also.test"):
        attachment.answers.learn(name, made.addresses[name][0], 3600)
    proxy.start(attachment)
    try:
        yield made
    finally:
        await proxy.close()
        listening.close()
