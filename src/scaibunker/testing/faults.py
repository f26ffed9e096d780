"""What can be wrong with a simulated worker. Each is switched on and off while it runs."""

import asyncio
from collections.abc import Callable
from typing import Literal

from scaibunker.wire.worker.heartbeat import Heartbeat

Lie = Callable[[Heartbeat], Heartbeat]
"""Makes another report of the true one."""
BootFault = Literal["hangs", "panics"]
RestoreFault = Literal["refused", "panics"]


class Mute(Exception):
    """Raised instead of sending a heartbeat."""


class Faults:
    """All off at first.

    `slow_s`: each answer is given so many seconds after what was asked for has been done (a stream's end,
    not its beginning). `mute`: it reports nothing. `lie`: what it reports instead of the truth.
    `dies_after_accepting`: it says 202 to an order and is dead. `boot`: machines never come up: their
    agent does not answer (`hangs`), or their VMM ends (`panics`). `restore`: machines are not made of saved ones
    (`refused`), or end as soon as they go on (`panics`).
    """

    def __init__(self) -> None:
        self.slow_s = 0.0
        self.mute = False
        self.lie: Lie | None = None
        self.dies_after_accepting = False
        self.boot: BootFault | None = None
        self.restore: RestoreFault | None = None
        self._hearing = asyncio.Event()
        self._hearing.set()

    @property
    def deaf(self) -> bool:
        """It accepts connections and does not answer. What was asked meanwhile and is still waited for is
        done when this ends, as by a process that was stopped and goes on."""
        return not self._hearing.is_set()

    @deaf.setter
    def deaf(self, value: bool) -> None:
        if value:
            self._hearing.clear()
        else:
            self._hearing.set()

    async def heard(self) -> None:
        """Wait until it listens."""
        await self._hearing.wait()

    def said(self, report: Heartbeat) -> Heartbeat:
        """What the worker says where `report` is the truth. Raises Mute."""
        if self.mute:
            raise Mute("this worker is mute")
        return report if self.lie is None else self.lie(report)

    def clear(self) -> None:
        """All off again."""
        self.slow_s, self.mute, self.lie = 0.0, False, None
        self.dies_after_accepting, self.boot, self.restore, self.deaf = False, None, None, False
