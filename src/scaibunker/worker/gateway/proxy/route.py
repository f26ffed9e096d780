"""The way from a connection to its server: which address, dialled from the host, and the socket to it."""

import asyncio
from collections.abc import Callable

import structlog

from scaibunker.worker.gateway.lookup import Unresolved
from scaibunker.worker.gateway.proxy.dial import Address, dial, order
from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.proxy.setting import Setting
from scaibunker.worker.gateway.proxy.side import Owner, Side
from scaibunker.worker.gateway.proxy.words import UNREAD

log = structlog.get_logger(__name__)


class NoWay(Exception):
    """There is none: `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Route:
    """Of one connection of `guest`, which chose the address and port `asked`.

    A server is dialled for a name, at the addresses that the proxy itself finds for it; or for none, at the address that
    was asked for. `done` is called when there is one, or none, with the reason. `buffers`: of the server's side.
    """

    def __init__(
        self,
        setting: Setting,
        asked: tuple[Address, int],
        guest: Side,
        owner: Owner,
        done: Callable[[Reason | None], None],
        buffers: int | None = None,
    ) -> None:
        self._setting = setting
        self._asked, self._port = asked
        self._guest = guest
        self._owner = owner
        self._done = done
        self._buffers = buffers
        self._for: str | None = None
        self._reaching: asyncio.Task[None] | None = None
        self._reaching_for: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dropped = 0
        self.server: Side | None = None
        self.dialled: Address | None = None

    @property
    def received(self) -> int:
        """Bytes of all servers there were."""
        return self._dropped + (0 if self.server is None else self.server.received)

    def ready(self, name: str | None) -> Side | None:
        """The server, if there is one and it is good for this name."""
        return self.server if self._reaching is None and self._for == name else None

    def reach(self, name: str | None) -> None:
        """Have a server for that name. What was begun for another is called off."""
        if self._reaching is not None:
            if self._reaching_for == name:
                return
            self._reaching.cancel()
        self._reaching_for = name
        self._reaching = asyncio.create_task(self._reach(name))
        self._tasks.add(self._reaching)
        self._reaching.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        if self._reaching is not None:
            self._reaching.cancel()
            self._reaching = None

    async def gone(self) -> None:
        """Returns when nothing of it runs; after `stop`."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """Reset the server, if there is one."""
        server, self.server = self.server, None
        if server is not None:
            self._guest.peer = None
            self._dropped += server.received
            server.reset()

    async def _reach(self, name: str | None) -> None:
        try:
            await self._connect(name)
        except NoWay as error:
            self._reaching = None
            self._done(error.reason)
        except Exception as error:
            log.error("proxy_route_failed", exc_info=error)
            self._reaching = None
            self._done(Reason.UNREACHABLE)
        else:
            self._for = name
            self._reaching = None
            self._done(None)

    async def _connect(self, name: str | None) -> None:
        addresses = await self._addresses(name)
        if self.server is not None:
            if self.dialled in addresses:
                return
            if not self.server.silent:
                raise NoWay(Reason.OTHER_SERVER)
            self.drop()
        try:
            sock, self.dialled = await dial(
                order(addresses, self._asked), self._port, self._setting.limits.dial_s
            )
        except OSError:
            raise NoWay(Reason.UNREACHABLE) from None
        server = Side(sock, self._setting.room, self._owner, self._buffers)
        server.peer = self._guest
        server.allowance = UNREAD
        self._guest.peer = self.server = server
        try:
            await server.attach(accepted=False)
        except BaseException as error:
            if self.server is server:
                self.drop()
            if isinstance(error, OSError):
                raise NoWay(Reason.UNREACHABLE) from None
            raise

    async def _addresses(self, name: str | None) -> list[Address]:
        attachment, never = self._setting.attachment, self._setting.surroundings.never
        found = [self._asked]
        if name is not None:
            try:
                found = await self._setting.lookup.addresses(name, attachment)
            except Unresolved:
                raise NoWay(Reason.NO_ADDRESS) from None
        passage = attachment.policy.passage
        permitted = [a for a in found if not never.forbids(a, passage)]
        if not permitted:
            raise NoWay(Reason.ADDRESS_CLOSED if name is None else Reason.NO_ADDRESS)
        return permitted
