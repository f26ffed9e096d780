"""The gateway's proxy beside a bare relay on the same loop, and beside no relay: bytes either way, and new connections."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure, from_samples
from benchmarks.relay_server import NAME, PIECE

MIB = 1024 * 1024
FILE_MIB = 64
CONNECTIONS = 100
UNITS = {
    "download": "MiB/s",
    "upload": "MiB/s",
    "new connection": "ms",
    "download (CPU)": "ms/GiB",
    "upload (CPU)": "ms/GiB",
    "new connection (CPU)": "ms",
}
PROCESS_CLOCK = 2


def measure(rounds: int = 11) -> list[Figure]:
    """The proxy and its floors in turn, so that a drift of the machine's speed hits all."""
    found: dict[tuple[str, str], list[float]] = {}
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(_process("server", 0))
        relays = {
            "direct": direct,
            "bare": stack.enter_context(_process("bare", direct.port)),
            "proxy": stack.enter_context(_process("proxy", direct.port)),
        }
        for number in range(rounds + 1):
            for kind, relay in relays.items():
                for what, value in _measured(relay).items():
                    if number:  # the first ones warm up
                        found.setdefault((what, kind), []).append(value)
    figures = []
    for floor, beside in (("bare", "a bare relay"), ("direct", "none")):
        for what, unit in UNITS.items():
            if "CPU" not in what or floor == "bare":
                name = f"proxy, {what}, beside {beside}"
                figures.append(from_samples(name, found[what, "proxy"], unit, found[what, floor]))
    return figures


@dataclass(frozen=True)
class _Relay:
    pid: int
    port: int

    def cpu_s(self) -> float:
        """Of another process: the clock's number is made of its pid (clock_getcpuclockid)."""
        return time.clock_gettime(~self.pid << 3 | PROCESS_CLOCK)


def _measured(relay: _Relay) -> dict[str, float]:
    begun = relay.cpu_s()
    down = _download(relay.port, FILE_MIB * MIB)
    between = relay.cpu_s()
    up = _upload(relay.port, FILE_MIB * MIB)
    after = relay.cpu_s()
    new = _connections(relay.port, CONNECTIONS)
    ended = relay.cpu_s()
    return {
        "download": FILE_MIB / down,
        "download (CPU)": (between - begun) * 1000 * 1024 / FILE_MIB,
        "upload": FILE_MIB / up,
        "upload (CPU)": (after - between) * 1000 * 1024 / FILE_MIB,
        "new connection": new,
        "new connection (CPU)": (ended - after) * 1000 / CONNECTIONS,
    }


def _download(port: int, size: int) -> float:
    """Seconds."""
    with _connected(port) as sock:
        begun = time.monotonic()
        sock.sendall(_head("GET", size))
        _answer(sock, size)
        return time.monotonic() - begun


def _upload(port: int, size: int) -> float:
    """Seconds."""
    with _connected(port) as sock:
        begun = time.monotonic()
        sock.sendall(_head("POST", size))
        for _ in range(size // len(PIECE)):
            sock.sendall(PIECE)
        _answer(sock, 0)
        return time.monotonic() - begun


def _connections(port: int, count: int) -> float:
    """Milliseconds for one, from nothing to the end of a short answer."""
    begun = time.monotonic()
    for _ in range(count):
        with _connected(port) as sock:
            sock.sendall(_head("GET", 1))
            _answer(sock, 1)
    return (time.monotonic() - begun) * 1000 / count


def _head(method: str, size: int) -> bytes:
    length = f"Content-Length: {size}\r\n" if method == "POST" else ""
    return f"{method} /{size} HTTP/1.1\r\nHost: {NAME}\r\n{length}\r\n".encode()


def _answer(sock: socket.socket, size: int) -> None:
    buffer = memoryview(bytearray(len(PIECE)))
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    while size:
        size -= sock.recv_into(buffer)


@contextlib.contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


@contextlib.contextmanager
def _process(kind: str, port: int) -> Iterator[_Relay]:
    command = [sys.executable, "-m", "benchmarks.relay_server", kind, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield _Relay(process.pid, int(process.stdout.readline()))
        finally:
            process.kill()
