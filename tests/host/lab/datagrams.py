"""The lab's UDP services, bound to every address at once: they answer from the one that was asked."""

import asyncio
import contextlib
import socket
import struct

from tests.host.lab.log import Hit
from tests.host.lab.streams import Services, asked

MAX_BYTES = 65535
ANCILLARY_BYTES = 256
IP_PKTINFO = 8
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50


def open_socket(family: socket.AddressFamily, port: int) -> socket.socket:
    """Called in the namespace that it shall serve."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.setblocking(False)
    sock.bind(("", port))
    return sock


class DatagramService:
    """Port 53 answers as DNS; others send back what they got."""

    def __init__(self, sock: socket.socket, services: Services) -> None:
        self._socket, self._services = sock, services
        self._port = sock.getsockname()[1]

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._socket, self._receive)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        while True:
            try:
                data, ancillary, _, peer = self._socket.recvmsg(MAX_BYTES, ANCILLARY_BYTES)
            except OSError:
                return
            local, reply = _local(ancillary)
            hit = Hit(
                self._services.where, "datagram", "udp", local, self._port, peer[0], peer[1], size=len(data)
            )  # fmt: skip
            answer: bytes | None = data
            if self._port == 53:
                name, kind = asked(data)
                hit = Hit(
                    hit.where, "dns", "udp", local, 53, peer[0], peer[1], name, text=kind, size=len(data)
                )  # fmt: skip
                self._services.log.add(hit)
                answer = self._services.names.answer(data, udp=True)
            else:
                self._services.log.add(hit)
            if answer is not None:
                with contextlib.suppress(OSError):
                    self._socket.sendmsg([answer], reply, 0, peer)


def _local(ancillary: list[tuple[int, int, bytes]]) -> tuple[str, list[tuple[int, int, bytes]]]:
    """Which address was asked, and what makes the answer come from it."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            address = data[8:12]
            info = struct.pack("=I4s4s", 0, address, bytes(4))
            return socket.inet_ntop(socket.AF_INET, address), [(level, kind, info)]
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            info = data[:16] + bytes(4)
            return socket.inet_ntop(socket.AF_INET6, data[:16]), [(level, kind, info)]
    return "", []
