"""Full TCP connections, and how fast they are by what the kernel counts: a program that has no time to read or write is not
measured with them."""

import contextlib
import os
import socket
import struct
import time
from typing import Literal

CHUNK = 1 << 20
SETTLE_S, WINDOW_S = 0.5, 2.0
BYTES_ACKED, BYTES_RECEIVED = 120, 128
"""Offsets in the kernel's `struct tcp_info`."""
Way = Literal["sends", "receives"]


def pour(sock: socket.socket) -> None:
    """Send until it ends."""
    data = os.urandom(CHUNK)
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(data)


def drain(sock: socket.socket) -> None:
    """Read until it ends."""
    buffer = bytearray(CHUNK)
    with contextlib.suppress(OSError):
        while sock.recv_into(buffer):
            pass


def mbit_from_now(sock: socket.socket, way: Way) -> float:
    """What the other side takes of what this end sends, or what this end receives, in Mbit/s for a few seconds. OSError if
    it ends meanwhile."""
    time.sleep(SETTLE_S)  # the queue of before, and a flow's start
    begun, before = time.monotonic(), _counted(sock, way)
    time.sleep(WINDOW_S)
    passed = _counted(sock, way) - before
    return passed * 8 / 1e6 / (time.monotonic() - begun)


def _counted(sock: socket.socket, way: Way) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    count: int
    (count,) = struct.unpack_from("=Q", info, BYTES_ACKED if way == "sends" else BYTES_RECEIVED)
    return count
