"""`python -m benchmarks`: cold starts, round trips, file throughput and memory, each beside its floor."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvloop

from benchmarks import bare
from benchmarks.figures import Figure, from_samples, save, show
from benchmarks.memory import pss_mb
from scaibunker.artifacts.manifest import Artifacts, ensure
from scaibunker.dev.layout import Layout
from scaibunker.dev.main import started
from scaibunker.dev.ports import free_port
from scaibunker.sdk import Bunker, Client

HOST = "127.0.0.1"
IMAGE = "debian-12"
MEMORY_MB = 256
FILE_MB = 16


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--creates", type=int, default=5)
    parser.add_argument("--execs", type=int, default=200)
    parser.add_argument("--files", type=int, default=5)
    options = parser.parse_args()
    artifacts = ensure(lambda text: print(text, file=sys.stderr))
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as folder:
        port = free_port(HOST)
        layout = Layout(Path(folder))
        with (
            started(layout, HOST, port, threading.Event(), keep_bunkers=False) as found,
            Client(found.base_url, found.keys["user"]) as client,
        ):
            acceleration = _acceleration(found.base_url, found.keys["super_admin"])
            figures = uvloop.run(_measure(client, artifacts, acceleration, options))
    host: dict[str, object] = {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "acceleration": acceleration,
    }
    show(figures)
    save(figures, host, options.json)
    print(f"written to {options.json}")
    return 0


async def _measure(
    client: Client, artifacts: Artifacts, acceleration: str, options: argparse.Namespace
) -> list[Figure]:
    """The product and its floor in turn, so that a drift of the machine's speed hits both."""
    cold: list[float] = []
    cold_floor: list[float] = []
    memory: list[float] = []
    for _ in range(options.creates):
        begun = time.monotonic()
        with _create(client) as bunker:
            bunker.exec(["/bin/true"], check=True)
            cold.append((time.monotonic() - begun) * 1000)
            memory.append(pss_mb(bunker.id))
        async with bare.machine(artifacts, IMAGE, acceleration, MEMORY_MB) as (_, seconds):
            cold_floor.append(seconds * 1000)
    figures = [
        from_samples("create to first exec, cold", cold, "ms", cold_floor),
        from_samples(f"memory of a {MEMORY_MB} MiB bunker (PSS)", memory, "MiB"),
    ]
    with _create(client) as bunker:
        async with bare.machine(artifacts, IMAGE, acceleration, MEMORY_MB) as (agent, _):
            figures.append(await _execs(bunker, agent, options.execs))
            figures.extend(await _files(bunker, agent, options.files))
    return figures


def _create(client: Client) -> Bunker:
    return client.bunkers.create(image=IMAGE, memory_mb=MEMORY_MB, wait=True)


async def _execs(bunker: Bunker, agent: bare.GuestAgent, count: int) -> Figure:
    samples: list[float] = []
    floor: list[float] = []
    for index in range(count + 10):
        begun = time.monotonic()
        await asyncio.to_thread(bunker.exec, ["/bin/true"])
        taken = time.monotonic() - begun
        bare_taken = await bare.exec_true(agent)
        if index >= 10:  # the first ones warm caches and connections up
            samples.append(taken * 1000)
            floor.append(bare_taken * 1000)
    return from_samples("exec /bin/true through the API", samples, "ms", floor)


async def _files(bunker: Bunker, agent: bare.GuestAgent, count: int) -> list[Figure]:
    content = os.urandom(FILE_MB * 1024 * 1024)
    rates: dict[str, list[float]] = {"up": [], "down": [], "bare up": [], "bare down": []}
    for _ in range(count):
        begun = time.monotonic()
        await asyncio.to_thread(bunker.files.write, bare.FILE, content)
        rates["up"].append(FILE_MB / (time.monotonic() - begun))
        begun = time.monotonic()
        got = await asyncio.to_thread(bunker.files.read, bare.FILE, limit=len(content))
        rates["down"].append(FILE_MB / (time.monotonic() - begun))
        assert got == content
        rates["bare up"].append(FILE_MB / await bare.write_file(agent, content))
        rates["bare down"].append(FILE_MB / await bare.read_file(agent, len(content)))
    return [
        from_samples("file upload", rates["up"], "MiB/s", rates["bare up"]),
        from_samples("file download", rates["down"], "MiB/s", rates["bare down"]),
    ]


def _acceleration(base_url: str, key: str) -> str:
    with Client(base_url, key) as client:
        return next(iter(client.workers.list())).acceleration


if __name__ == "__main__":
    sys.exit(main())
