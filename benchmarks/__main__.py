"""`python -m benchmarks`: cold and warm starts, round trips, file throughput and memory, each beside its floor."""

import argparse
import asyncio
import contextlib
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import bare, crowd, relay, resolver, slots
from benchmarks.figures import Figure, from_samples, save, show, this_host
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
SLOTS = 3
"""Machines that a worker keeps prepared."""
PREPARED_WITHIN_S = 300
ALONE: dict[str, Callable[[], list[Figure]]] = {
    "resolver": resolver.measure,
    "slots": slots.measure,
    "relay": relay.measure,
    "crowd": crowd.measure,
}
"""What needs no stack, and can be measured by itself."""


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--creates", type=int, default=5)
    parser.add_argument("--only-starts", action="store_true")
    for name in ALONE:
        parser.add_argument(f"--only-{name}", action="store_true")
    parser.add_argument("--execs", type=int, default=200)
    parser.add_argument("--files", type=int, default=5)
    options = parser.parse_args()
    alone = [name for name in ALONE if getattr(options, f"only_{name}")]
    if alone:
        figures = [figure for name in alone for figure in ALONE[name]()]
        show(figures)
        save(figures, this_host(), options.json)
        print(f"written to {options.json}")
        return 0
    artifacts = ensure(lambda text: print(text, file=sys.stderr))
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as folder:
        with _stack(Path(folder) / "cold", warm=False) as cold:
            with _stack(Path(folder) / "warm", warm=True) as warm:
                figures = uvloop.run(_starts(cold, warm, artifacts, options))
            if not options.only_starts:
                figures += uvloop.run(_measure(cold, artifacts, options))
                figures += [figure for measure in ALONE.values() for figure in measure()]
        acceleration = cold.acceleration
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


@dataclass(frozen=True)
class Stack:
    """A whole product, and its worker's folder and log."""

    client: Client
    acceleration: str
    worker_dir: Path
    worker_log: Path

    def prepared(self) -> int:
        """How many machines its worker has ever prepared."""
        return self.worker_log.read_text().count('"slot_ready"')

    def template(self) -> Path:
        """The folder of its one template."""
        (folder,) = (self.worker_dir / "templates/ready").glob("[!.]*")
        return folder


@contextlib.contextmanager
def _stack(folder: Path, *, warm: bool) -> Iterator[Stack]:
    layout, port = Layout(folder), free_port(HOST)
    with (
        started(
            layout, HOST, port, threading.Event(), keep_bunkers=False, warm_starts=warm
        ) as found,
        Client(found.base_url, found.keys["user"]) as client,
    ):
        acceleration = _acceleration(found.base_url, found.keys["super_admin"])
        yield Stack(client, acceleration, layout.worker, layout.logs / "worker.log")


async def _starts(
    cold: Stack, warm: Stack, artifacts: Artifacts, options: argparse.Namespace
) -> list[Figure]:
    """The product and its floors in turn, so that a drift of the machine's speed hits all. Nothing is measured while a
    worker prepares a machine."""
    took: dict[str, list[float]] = {
        name: [] for name in ("cold", "bare", "warm", "series", "floor")
    }
    memory: dict[str, list[float]] = {"cold": [], "warm": []}
    _first_exec(warm, memory["warm"])
    memory["warm"].clear()
    await _until(warm, SLOTS)
    async with bare.template(warm.template()) as (manifest, pages):
        for number in range(options.creates):
            took["cold"].append(_first_exec(cold, memory["cold"]))
            async with bare.machine(artifacts, IMAGE, cold.acceleration, MEMORY_MB) as (_, seconds):
                took["bare"].append(seconds * 1000)
            took["warm"].append(_first_exec(warm, memory["warm"]))
            await _until(warm, number + SLOTS + 1)
            took["floor"].append(
                1000
                * await bare.restore(artifacts, cold.acceleration, warm.template(), manifest, pages)
            )
        for _ in range(3 * SLOTS):  # more than are prepared
            took["series"].append(_first_exec(warm, []))
    starts = [
        from_samples("create to first exec, cold", took["cold"], "ms", took["bare"]),
        from_samples("create to first exec, warm", took["warm"], "ms", took["floor"]),
        from_samples(
            "create to first exec, warm, one after the other", took["series"], "ms", took["floor"]
        ),
        from_samples("warm beside cold", took["warm"], "ms", took["cold"]),
    ]
    sizes = [
        from_samples(f"memory of a {MEMORY_MB} MiB bunker (PSS), {kind}", memory[kind], "MiB")
        for kind in memory
    ]
    return starts + sizes


def _first_exec(stack: Stack, memory: list[float]) -> float:
    """Milliseconds from the create to the first command's end."""
    begun = time.monotonic()
    with _create(stack.client) as bunker:
        bunker.exec(["/bin/true"], check=True)
        taken = (time.monotonic() - begun) * 1000
        memory.append(pss_mb(stack.worker_dir, bunker.id))
    return taken


async def _until(stack: Stack, prepared: int) -> None:
    """Wait until its worker has prepared so many machines in all."""
    deadline = time.monotonic() + PREPARED_WITHIN_S
    while stack.prepared() < prepared:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no machine was prepared: {stack.worker_log.read_text()}")
        await asyncio.sleep(0.05)


async def _measure(stack: Stack, artifacts: Artifacts, options: argparse.Namespace) -> list[Figure]:
    """Of machines that run."""
    figures = []
    with _create(stack.client) as bunker:
        async with bare.machine(artifacts, IMAGE, stack.acceleration, MEMORY_MB) as (agent, _):
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
