"""A quiet machine beside greedy ones, all of one gateway: how long its question, its connection and 1 MiB take it."""

import contextlib
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.message

from benchmarks.figures import Figure, from_samples
from benchmarks.relay_server import NAME

HOST = "127.0.0.1"
MIB = 1024 * 1024
MANY = 20
CROWDS: Sequence[tuple[str, Sequence[str], int]] = (
    ("10 greedy (all of it)", ("connections", "questions", "downloads", "trickles"), 10),
    ("20 greedy (all of it)", ("connections", "questions", "downloads", "trickles"), 20),
    ("20 greedy (connections)", ("connections",), 20),
    ("20 greedy (questions)", ("questions",), 20),
    ("20 greedy (downloads)", ("downloads",), 20),
    ("20 greedy (trickles)", ("trickles",), 20),
)
SETTLE_S, SAMPLES, LIMIT_S = 3.0, 40, 20.0
"""Of each, so many, or as many as there is time for."""
BETWEEN_S = 0.01
PROCESS_CLOCK = 2


def measure() -> list[Figure]:
    """Alone before each crowd, so that a drift of the machine's speed hits both."""
    figures = []
    with _world() as (quiet, crowd):
        _samples(quiet, SAMPLES)  # warm up
        for name, kinds, machines in CROWDS:
            crowd.want((), 0)
            alone = _samples(quiet, SAMPLES)
            crowd.want(kinds, machines)
            begun = time.monotonic(), crowd.cpu_s()
            beside = _samples(quiet, SAMPLES)
            busy = (crowd.cpu_s() - begun[1]) / (time.monotonic() - begun[0])
            figures.append(from_samples(f"gateway's CPU beside {name}", [100 * busy], "%"))
            figures += [
                from_samples(f"{what} beside {name}", beside[what], "ms", alone[what])
                for what in alone
            ]
    return figures


@dataclass(frozen=True)
class _Quiet:
    """A machine: the ports of its resolver and proxy."""

    asked: int
    proxied: int

    def question(self) -> None:
        """One that its resolver has answered before: nobody else's time is in it."""
        query = dns.message.make_query(NAME, "A", use_edns=0).to_wire()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect((HOST, self.asked))
            sock.settimeout(LIMIT_S)
            sock.send(query)
            sock.recv(1500)

    def connection(self) -> None:
        self._get(1)

    def download(self) -> None:
        self._get(MIB)

    def _get(self, size: int) -> None:
        with socket.create_connection((HOST, self.proxied), LIMIT_S) as sock:
            sock.settimeout(LIMIT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(f"GET /{size} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            data = bytearray()
            while b"\r\n\r\n" not in data:
                data += sock.recv(1024) or b"\r\n\r\n"
            left = size - (len(data) - data.index(b"\r\n\r\n") - 4)
            while left > 0:
                left -= len(sock.recv(1 << 18)) or left


class _Crowd:
    def __init__(
        self, process: "subprocess.Popen[str]", machines: list[list[int]], gateway: int
    ) -> None:
        self._process = process
        self._gateway = gateway
        self._machines = machines

    def cpu_s(self) -> float:
        """Of the gateway: the clock's number is made of its pid (clock_getcpuclockid)."""
        return time.clock_gettime(~self._gateway << 3 | PROCESS_CLOCK)

    def want(self, kinds: Sequence[str], machines: int) -> None:
        """From now on; returns when it has been so for a while."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = {"kinds": kinds, "machines": self._machines[:machines]}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ready\n"
        time.sleep(SETTLE_S)


def _samples(quiet: _Quiet, count: int) -> dict[str, list[float]]:
    """Milliseconds."""
    kinds: dict[str, Callable[[], None]] = {
        "name question": quiet.question,
        "connection": quiet.connection,
        "1 MiB": quiet.download,
    }
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    until = time.monotonic() + LIMIT_S
    for number in itertools.count():
        if number == count or (number > 1 and time.monotonic() > until):
            break
        for kind, do in kinds.items():
            begun = time.monotonic()
            with contextlib.suppress(TimeoutError):  # it took that long at least
                do()
            took[kind].append((time.monotonic() - begun) * 1000)
            time.sleep(BETWEEN_S)
    return took


@contextlib.contextmanager
def _world() -> Iterator[tuple[_Quiet, _Crowd]]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="scaibunker-crowd-"))
        (Path(folder) / "spool").mkdir()
        files = stack.enter_context(_process("relay_server", "server", "0"))
        elsewhere = stack.enter_context(_process("crowd_server", "elsewhere"))
        (port,), (there, upstream) = _ports(files), _ports(elsewhere)
        arguments = (str(each) for each in (port, there, upstream, MANY + 1))
        gateway = stack.enter_context(
            _process("crowd_server", "gateway", *arguments, f"{folder}/spool")
        )
        machines = [_ports(gateway) for _ in range(MANY + 1)]
        greedy = stack.enter_context(_process("crowd_greedy"))
        yield _Quiet(*machines[0]), _Crowd(greedy, machines[1:], gateway.pid)


def _ports(process: "subprocess.Popen[str]") -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


@contextlib.contextmanager
def _process(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
