"""A guest without a machine: the test holds its TAP, and sends whatever bytes it likes."""

import os

from tests.host.lab.frames import Frames

VNET_HEADER = bytes(10)
"""Each frame has one on this TAP: no offloads are asked for."""
MAX_FRAME = 65536 + len(VNET_HEADER)


class RawGuest(Frames):
    """`tap`: a non-blocking descriptor, closed with the guest."""

    def __init__(self, tap: int) -> None:
        super().__init__()
        self._tap = tap

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            os.write(self._tap, VNET_HEADER + frame)

    def _next(self) -> bytes:
        return os.read(self._tap, MAX_FRAME)[len(VNET_HEADER) :]

    def close(self) -> None:
        """Idempotent."""
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1
