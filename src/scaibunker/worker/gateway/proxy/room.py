"""What one machine's connections share: a bound on the bytes that they hold, and their turn on the loop."""

import asyncio
from typing import Protocol

from scaibunker.worker.gateway.proxy.limits import Limits

BUFFER = memoryview(bytearray(256 * 1024))
"""All that is read by this process is read into it, one read after the other, and has left it before the next: passed
to a socket, or copied where its receiver takes no more."""
FEW = 4096
"""What may always be read at once. Together with `connections` it bounds what is held above `held`."""

WIDE = 16
"""Connections to servers that may take as much of the kernel's memory as it sees fit: what one needs to be fast over a long way."""

BYTES_IN_A_MICROSECOND = 1024


class Resumable(Protocol):
    def resume_turn(self) -> None: ...


class Room:
    """Of one attachment."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spent = 0
        self._paused: list[Resumable] = []
        self._wide = 0
        self.held = 0

    def widen(self) -> bool:
        """Whether one more connection may be wide; `narrow` when it ends."""
        if self._wide >= WIDE:
            return False
        self._wide += 1
        return True

    def narrow(self) -> None:
        self._wide -= 1

    def size(self) -> int:
        """How much may be read now."""
        if self._spent > self._limits.turn:
            return FEW
        return max(FEW, min(len(BUFFER), self._limits.held - self.held))

    @property
    def over(self) -> bool:
        """The turn is: whoever has more to do comes to wait for the next, with `wait`."""
        return self._spent > self._limits.turn

    def work(self, microseconds: int) -> None:
        """Judging was done. It counts as the bytes that could have been moved meanwhile."""
        self.spend(microseconds * BYTES_IN_A_MICROSECOND)

    def spend(self, size: int) -> bool:
        """True: the turn is over, and whoever reads comes to wait for the next, with `wait`."""
        if size and self._spent == 0:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._spent += size
        return self.over

    def wait(self, reader: Resumable) -> None:
        self._paused.append(reader)

    def _next_turn(self) -> None:
        self._spent = 0
        paused, self._paused = self._paused, []
        for reader in paused:
            reader.resume_turn()
