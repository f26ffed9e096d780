"""Taking what waits in a netlink socket, without one machine's flood keeping the others waiting."""

import asyncio
import errno
import socket
import time
from collections.abc import Callable

from scaibunker.worker.gateway.shares import Share

MAX_MESSAGE = 256 * 1024
TURN = 64
"""Datagrams that are taken before others get their turn."""
QUIET_S = 1.5
"""After a socket was full, the kernel waits for a second and tells again what did not fit; after so long without a word
there is nothing left."""
LOOK_S = 0.02
PATIENCE_S = 5.0
MESSAGE_S, BYTE_S = 0.000_01, 1e-7
"""Of the loop's time, for a datagram and each byte of it: some 30 µs for a flow of 200 bytes."""
LOOKED_S = 0.000_01
"""How long is waited for room; then what is read is dropped and counted, rather than that a machine stands still for good
because a disk does."""


class Reading:
    """From when it is made, as far as it is the machine's turn; what is taken is charged to its `share`. `take` must not raise. Nothing is read while there is no room for it (`has_room`): what
    the kernel keeps until it is read had better stay there."""

    def __init__(
        self,
        netlink: socket.socket,
        take: Callable[[bytes], None],
        share: Share,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._netlink = netlink
        self._take = take
        self._share = share
        self._has_room = has_room
        self._crowded_since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._was_full = False
        self._stopped = False
        self._resume()

    async def finish(self, deadline: float) -> bool:
        """Take all that there is, then stop. False: there was more at `deadline` (of `time.monotonic`)."""
        self._stop()
        quiet_since: float | None = None
        while (now := time.monotonic()) < deadline:
            if self._must_wait(now):
                await asyncio.sleep(LOOK_S)
                continue
            if self._turn():
                quiet_since = None
                await asyncio.sleep(0)
                await self._share.turn(LOOKED_S)
                continue
            if not self._was_full:
                return True  # all has been told that is to be told
            quiet_since = quiet_since or now
            if now - quiet_since >= QUIET_S:
                return True
            await asyncio.sleep(LOOK_S)
        return False

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._netlink, self._readable)

    def _stop(self) -> None:
        self._stopped = True
        self._loop.remove_reader(self._netlink)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _readable(self) -> None:
        if self._must_wait(time.monotonic()):
            self._loop.remove_reader(self._netlink)
            self._pause = self._loop.call_later(LOOK_S, self._resume)
            return
        self._turn()
        if not self._share.is_open:
            self._loop.remove_reader(self._netlink)
            self._share.wait(self._resume_turn, LOOKED_S)

    def _resume_turn(self) -> None:
        if not self._stopped:
            self._resume()

    def _must_wait(self, now: float) -> bool:
        if self._has_room():
            self._crowded_since = None
            return False
        if self._crowded_since is None:
            self._crowded_since = now
        return now - self._crowded_since < PATIENCE_S

    def _turn(self) -> int:
        """How many datagrams there were."""
        for taken in range(TURN):
            try:
                data = self._netlink.recv(MAX_MESSAGE)
            except (BlockingIOError, InterruptedError):
                return taken
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    return taken
                self._was_full = True
                continue
            self._share.spend(MESSAGE_S + len(data) * BYTE_S)
            self._take(data)
            if not self._share.is_open:
                return taken + 1
        return TURN
