"""Ports of bridges, with a test at the other end instead of a machine."""

import contextlib
import os
import select
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from scaibunker.worker.network.bridges.transit import TransitNetwork
from tests.host.bridged.frames import note

HEADER = bytes(10)
"""Of virtio: nothing is left to do about the frame."""
PATIENCE_S = 20.0
LARGEST = 70_000


class Plug:
    """The guest's end of one interface."""

    def __init__(self, descriptor: int, mac: str) -> None:
        self.descriptor = descriptor
        self.mac = mac
        self._count = 0

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            os.write(self.descriptor, HEADER + frame)

    def take(self, within_s: float = PATIENCE_S) -> Iterator[bytes]:
        """What arrives, for so long."""
        until = time.monotonic() + within_s
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self.descriptor], [], [], left)
            if ready:
                yield os.read(self.descriptor, LARGEST)[len(HEADER) :]

    def arrived(self, sender: "Plug") -> list[bytes]:
        """All that has arrived when a frame does that `sender` sends now: it is passed by none that was sent before."""
        self._count += 1
        last = note(self.mac, sender.mac, f"the last one {self._count}")
        sender.send(last)
        found = []
        for frame in self.take():
            if frame == last:
                return found
            found.append(frame)
        raise AssertionError(f"nothing passes from {sender.mac} to {self.mac}; came: {found}")

    def close(self) -> None:
        os.close(self.descriptor)


@contextlib.contextmanager
def passing_on(left: Plug, right: Plug) -> Iterator[None]:
    """What arrives at one goes out at the other, while the block runs."""
    over = threading.Event()

    def run() -> None:
        others = {left.descriptor: right.descriptor, right.descriptor: left.descriptor}
        while not over.is_set():
            for ready in select.select(list(others), [], [], 0.05)[0]:
                with contextlib.suppress(BlockingIOError):
                    os.write(others[ready], os.read(ready, LARGEST))

    thread = threading.Thread(target=run, name="an appliance")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Plugs:
    """Of one machine, in the order of its interfaces; closed at the end of the block."""

    def __init__(self, network: TransitNetwork) -> None:
        macs = [interface.mac for interface in network.guest.interfaces]
        taps = network.open_taps()
        self._plugs = [Plug(tap, mac) for tap, mac in zip(taps, macs, strict=True)]

    def __iter__(self) -> Iterator[Plug]:
        return iter(self._plugs)

    def __getitem__(self, index: int) -> Plug:
        return self._plugs[index]

    def __enter__(self) -> "Plugs":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for plug in self._plugs:
            plug.close()
