"""`python -m benchmarks.resolver`: CPU that a machine's resolver takes for a question, beside a bare UDP echo."""

import argparse
import contextlib
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.message

from benchmarks.figures import Figure, from_samples, save, show, this_host

PER_ROUND, WINDOW = 2000, 16
ANSWER = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xcb\0\x71\1"
"""A record of type A, of the name in the question."""
PROCESS_CLOCK = 2


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench-resolver.json"))
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    figures = measure(options.rounds)
    show(figures)
    save(figures, this_host(), options.json)
    print(f"written to {options.json}")
    return 0


def measure(rounds: int = 10) -> list[Figure]:
    """The resolver and its floor in turn."""
    numbers = itertools.count()
    repeated = dns.message.make_query("pypi.registry.test", "A", use_edns=0).to_wire()
    denied = dns.message.make_query("evil.test", "A", use_edns=0).to_wire()
    new = dns.message.make_query("x00000000.files.test", "A", use_edns=0).to_wire()

    def next_new() -> bytes:
        return new.replace(b"x00000000", b"x%08d" % next(numbers))

    kinds: dict[str, Callable[[], bytes]] = {
        "repeated": lambda: repeated,
        "denied": lambda: denied,
        "new": next_new,
    }
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    floor: list[float] = []
    with _upstream() as port, _server("resolver", port) as ours, _server("echo", port) as echo:
        ours.ask(next_new, 200)  # warm up
        for _ in range(rounds):
            floor.append(echo.ask(lambda: repeated, PER_ROUND))
            for kind, make in kinds.items():
                took[kind].append(ours.ask(make, PER_ROUND))
    names = {
        "repeated": "resolver, repeated question (CPU)",
        "denied": "resolver, name that is not permitted (CPU)",
        "new": "resolver, new question (CPU)",
    }
    return [from_samples(names[kind], took[kind], "us", floor) for kind in kinds]


@dataclass(frozen=True)
class _Server:
    pid: int
    port: int

    def ask(self, make: Callable[[], bytes], count: int) -> float:
        """Microseconds of its CPU for each of so many questions, of which a few are under way at a time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect(("127.0.0.1", self.port))
            begun = self._cpu_s()
            for sent in range(count + WINDOW):
                if sent >= WINDOW:
                    sock.recv(1500)
                if sent < count:
                    sock.send(make())
            return (self._cpu_s() - begun) / count * 1e6

    def _cpu_s(self) -> float:
        """Of another process: the clock's number is made of its pid (clock_getcpuclockid)."""
        return time.clock_gettime(~self.pid << 3 | PROCESS_CLOCK)


@contextlib.contextmanager
def _server(kind: str, upstream_port: int) -> Iterator[_Server]:
    command = [sys.executable, "-m", "benchmarks.resolver_server", kind, str(upstream_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield _Server(process.pid, int(process.stdout.readline()))
        finally:
            process.kill()


@contextlib.contextmanager
def _upstream() -> Iterator[int]:
    """Has an address for every name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                query, sender = sock.recvfrom(1500)
                if not query:
                    return
                question = query[12 : query.index(0, 12) + 5]
                head = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
                sock.sendto(head + question + ANSWER, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()


if __name__ == "__main__":
    sys.exit(main())
