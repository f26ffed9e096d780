"""What really passes a device: every frame, both ways, as the kernel sees it."""

import socket
from types import TracebackType

from tests.host.lab.frames import Frames
from tests.host.lab.namespaces import Namespace

ETH_P_ALL = 0x0003
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 16 << 20


class Sniffer(Frames):
    """Listens to a device of a namespace from when it is made until it is closed."""

    def __init__(self, namespace: Namespace, device: str) -> None:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
            sock.bind((device, ETH_P_ALL))
            sock.setblocking(False)
            return sock

        super().__init__()
        self._socket = namespace.call(opened)

    def _next(self) -> bytes:
        return self._socket.recv(65536)

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
