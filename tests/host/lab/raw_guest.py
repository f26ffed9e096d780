"""A guest without a machine: the test holds its TAP, and sends whatever bytes it likes."""

import os
from collections.abc import Callable

from tests.waiting import wait_until

VNET_HEADER = bytes(10)
"""Each frame has one on this TAP: no offloads are asked for."""
SHOWN = 20
MAX_FRAME = 65536 + len(VNET_HEADER)


class RawGuest:
    """`tap`: a non-blocking descriptor, closed with the guest."""

    def __init__(self, tap: int) -> None:
        self._tap = tap
        self._frames: list[bytes] = []

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            os.write(self._tap, VNET_HEADER + frame)

    def frames(self, wanted: Callable[[bytes], bool] = lambda _: True) -> list[bytes]:
        """What has come so far."""
        while True:
            try:
                self._frames.append(os.read(self._tap, MAX_FRAME)[len(VNET_HEADER) :])
            except BlockingIOError:
                return [frame for frame in self._frames if wanted(frame)]

    def wait(self, wanted: Callable[[bytes], bool], timeout_s: float = 10) -> bytes:
        wait_until(
            lambda: bool(self.frames(wanted)),
            timeout_s,
            lambda: f"a frame among {[f.hex() for f in self._frames[-SHOWN:]]}",
            every_s=0.005,
        )
        return self.frames(wanted)[0]

    def clear(self) -> None:
        self.frames()
        self._frames.clear()

    def close(self) -> None:
        """Idempotent."""
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1
