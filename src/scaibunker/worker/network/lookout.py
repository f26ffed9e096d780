"""Keeps what no bunker may reach up to date: looks when the kernel says that an address has come or gone, when it is
hinted, and every few seconds all the same, because names move without saying so.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network.never import Never

log = structlog.get_logger(__name__)

EVERY_S = 10.0
SETTLE_S = 0.05
"""Changes come in flocks."""
RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x10, 0x100
MESSAGE_BYTES = 65536

Gather = Callable[[], Awaitable[Never]]
Told = Callable[[Never], Awaitable[None]]


class Lookout:
    """`gather` says how things are; `told` puts that into force, and is told until it has done so without a
    WorkerFault. Only changes are told. `start` first."""

    def __init__(self, gather: Gather, told: Told, every_s: float = EVERY_S) -> None:
        self._gather, self._told, self._every_s = gather, told, every_s
        self._never: Never | None = None
        self._behind = False
        self._stirred = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    @property
    def never(self) -> Never:
        """As it was last seen. WorkerFault before the first look."""
        if self._never is None:
            raise WorkerFault("the worker does not know its own addresses yet")
        return self._never

    async def look(self) -> Never:
        """Once, and tell nobody: for what is put into force at the start. Raises WorkerFault."""
        self._never = await self._gather()
        return self._never

    async def start(self) -> None:
        """Look from now on. Raises WorkerFault if the first look fails."""
        self._listen()
        try:
            if self._never is None:
                await self.look()
        except BaseException:
            self._deafen()
            raise
        self._looking = asyncio.create_task(self._run(), name="lookout")

    def hint(self) -> None:
        """Something may have changed: look soon."""
        self._stirred.set()

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._deafen()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._stirred.wait()
                    await asyncio.sleep(SETTLE_S)
            self._stirred.clear()
            try:
                await self._look_again()
            except WorkerFault as fault:
                log.warning("vicinity_behind", reason=fault.message)
            except (
                Exception
            ):  # whatever it is, what is in force stays, and the next look may do better
                log.exception("vicinity_behind")

    async def _look_again(self) -> None:
        never = await self._gather()
        if never == self._never and not self._behind:
            return
        self._never, self._behind = never, True
        await self._told(never)
        self._behind = False
        log.info("vicinity_changed", ranges=len(never.vicinity))

    def _listen(self) -> None:
        """To changes of addresses in the namespace of this thread. Without it, the timer has to do."""
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK,
                socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                socket.NETLINK_ROUTE,
            )
            self._socket.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        except OSError as error:
            log.warning("addresses_not_heard", reason=str(error))
            self._deafen()
            return
        asyncio.get_running_loop().add_reader(self._socket, self._heard, self._socket)

    def _heard(self, sock: socket.socket) -> None:
        while True:
            try:
                sock.recv(MESSAGE_BYTES)
            except BlockingIOError:
                break
            except OSError:  # more came than it has room for
                continue
        self.hint()

    def _deafen(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
