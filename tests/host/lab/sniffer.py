"""What really passes a device: every frame, both ways, as the kernel sees it."""

import socket
from collections.abc import Callable
from types import TracebackType

from tests.host.lab.namespaces import Namespace
from tests.waiting import wait_until

ETH_P_ALL = 0x0003
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 16 << 20
SHOWN = 20


class Sniffer:
    """Listens to a device of a namespace from when it is made until it is closed."""

    def __init__(self, namespace: Namespace, device: str) -> None:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
            sock.bind((device, ETH_P_ALL))
            sock.setblocking(False)
            return sock

        self._socket = namespace.call(opened)
        self._frames: list[bytes] = []

    def frames(self, wanted: Callable[[bytes], bool] = lambda _: True) -> list[bytes]:
        """Those seen so far that are `wanted`, in order."""
        while True:
            try:
                self._frames.append(self._socket.recv(65536))
            except BlockingIOError:
                return [frame for frame in self._frames if wanted(frame)]

    def wait(self, wanted: Callable[[bytes], bool], timeout_s: float = 10) -> bytes:
        """The first such frame, when there is one."""
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
        self._socket.close()

    def __enter__(self) -> "Sniffer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
