"""What one machine's connections share: a bound on the bytes that they hold, and their turn on the loop."""

from collections.abc import Callable
from typing import Protocol

from scaibunker.worker.gateway.proxy.limits import Limits
from scaibunker.worker.gateway.shares import Share

BUFFER = memoryview(bytearray(256 * 1024))
"""All that is read by this process is read into it, one read after the other, and has left it before the next: passed
to a socket, or copied where its receiver takes no more."""
FEW = 4096
"""What may always be read at once. Together with `connections` it bounds what is held above `held`."""

WIDE = 16
"""Connections to servers that may take as much of the kernel's memory as it sees fit: what one needs to be fast over a long way."""

READ_S = 0.000_025
BYTE_S = 0.35e-9
"""Of the loop's time, that moving what was read at once takes: however little it is, and for each byte of it."""
RESUMED_S, ENDED_S = 0.000_01, 0.000_08
"""To have one read again; to put away a connection that has ended."""


class Resumable(Protocol):
    def resume_turn(self) -> None: ...


class Room:
    """Of one attachment."""

    def __init__(self, limits: Limits, share: Share) -> None:
        self._limits = limits
        self._share = share
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
        if self.over:
            return FEW
        return max(FEW, min(len(BUFFER), self._limits.held - self.held))

    @property
    def over(self) -> bool:
        """The turn is: whoever has more to do comes to wait for the next, with `wait`."""
        return not self._share.is_open

    def work(self, microseconds: int) -> None:
        """Judging was done."""
        self._share.spend(microseconds / 1_000_000)

    def spend(self, size: int) -> bool:
        """So much was read. True: the turn is over, and whoever reads comes to wait for the next, with `wait`."""
        self._share.spend(READ_S + size * BYTE_S)
        return self.over

    def wait(self, reader: Resumable) -> None:
        self._share.wait(reader.resume_turn, RESUMED_S)

    def end(self, finish: Callable[[], None]) -> None:
        """Finish a connection, now or when it is this machine's turn: all of its connections may end at once."""
        if self.over:
            self._share.wait(finish, ENDED_S)
        else:
            self._share.spend(ENDED_S)
            finish()
