"""Taking what waits in one of a machine's sockets, piece by piece, as far as it is the machine's turn."""

import asyncio
import socket
from collections.abc import Callable

from scaibunker.worker.gateway.shares import Share

AT_ONCE = 32
"""Pieces; then others have their turn, whatever the share says."""
LOOK_S = 0.000_01
"""What it costs to come back to a socket."""

Take = Callable[[], float | None]
"""Take one piece. None: there is none left. Else seconds for which the machine is to be left alone, 0 if it is not."""


class Intake:
    """Of an open, non-blocking socket, until `close`; which does not close the socket. `take` charges what it does."""

    def __init__(self, sock: socket.socket, share: Share, take: Take) -> None:
        self._sock = sock
        self._share = share
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._closed = False
        self._listen()

    def close(self) -> None:
        self._closed = True
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._sock)

    def _listen(self) -> None:
        self._rest = None
        if not self._closed:
            self._loop.add_reader(self._sock, self._readable)

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            if not self._share.is_open:
                self._loop.remove_reader(self._sock)
                self._share.wait(self._go_on, LOOK_S)
                return
            rest = self._take()
            if rest is None or self._closed:
                return
            if rest:
                self._loop.remove_reader(self._sock)
                self._rest = self._loop.call_later(rest, self._listen)
                return

    def _go_on(self) -> None:
        if not self._closed:
            self._listen()
            self._readable()
