"""Frames that a test sees come, and waits for."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from tests.waiting import wait_until

SHOWN = 20
ARRIVAL_S = 30.0


class Frames(ABC):
    """Those of one device, in the order in which they came."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    @abstractmethod
    def _next(self) -> bytes:
        """The one that has come and was not looked at yet. Raises BlockingIOError if there is none."""

    def frames(self, wanted: Callable[[bytes], bool] = lambda _: True) -> list[bytes]:
        """Those so far that are `wanted`."""
        while True:
            try:
                self._frames.append(self._next())
            except BlockingIOError:
                return [frame for frame in self._frames if wanted(frame)]

    def wait(self, wanted: Callable[[bytes], bool], timeout_s: float = ARRIVAL_S) -> bytes:
        """The first such frame, when there is one."""
        wait_until(
            lambda: bool(self.frames(wanted)),
            timeout_s,
            lambda: f"a frame among {[f.hex() for f in self._frames[-SHOWN:]]}",
            every_s=0.005,
        )
        return self.frames(wanted)[0]

    def clear(self) -> None:
        """Forget those so far."""
        self.frames()
        self._frames.clear()
