"""`python -m benchmarks.reads`: authenticated reads a second on MariaDB, beside a bare FastAPI route.

Real processes: `mariadbd`, `redis-server`, the controller, the floor; the load comes from here. Rounds of
product and floor take turns, so that a drift of the machine's speed hits both.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import uvloop
from tests.integration.simulated_worker import SimulatedWorker
from tests.ports import free_port

from benchmarks import processes
from benchmarks.figures import Figure, from_samples, save, show, this_host
from benchmarks.load import Load, closed, paced, request

BASE = "/v1/modules/scaibunker"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench-reads.json"))
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1000, help="requests a second when paced")
    options = parser.parse_args()
    figures = uvloop.run(measure(options))
    show(figures)
    host = {
        **this_host(),
        "connections": options.connections,
        "replicas": options.replicas,
    }
    save(figures, host, options.json)
    print(f"written to {options.json}")
    return 0


class CpuMeter:
    """The processor time of some processes: what a shared machine does not blur."""

    def __init__(self, pids: list[int]) -> None:
        self._files = [Path(f"/proc/{pid}/stat") for pid in pids]
        self._tick = os.sysconf("SC_CLK_TCK")

    def seconds(self) -> float:
        """Of all of them, so far."""
        fields = [file.read_text().rpartition(")")[2].split() for file in self._files]
        return sum(int(user) + int(system) for *_, user, system in (f[:13] for f in fields)) / (
            self._tick
        )


async def measure(options: argparse.Namespace) -> list[Figure]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory(prefix="scaigrid-bench-") as name:
        folder = Path(name)
        async with processes.stores(folder) as stores:
            with contextlib.ExitStack() as held:
                replicas = [free_port() for _ in range(options.replicas)]
                started = [
                    held.enter_context(processes.controller(stores.environment, port, folder))
                    for port in replicas
                ]
                meter = CpuMeter([*(process.pid for process in started), *stores.pids])
                floor = free_port()
                argv = [sys.executable, "-m", "benchmarks.floor", str(floor)]
                held.enter_context(processes.process(argv, dict(os.environ), folder / "floor.log"))
                for port, path in [*((p, "/health/ready") for p in replicas), (floor, "/floor")]:
                    await processes.until_served(port, path)
                worker = SimulatedWorker()
                await worker.start()
                try:
                    key = stores.keys["user"]
                    bunker_id = await _bunker(replicas[0], key, worker)
                    return await _rounds(options, meter, replicas, floor, key, bunker_id)
                finally:
                    await worker.stop()


async def _rounds(
    options: argparse.Namespace,
    meter: "CpuMeter",
    replicas: list[int],
    floor: int,
    key: str,
    bunker_id: str,
) -> list[Figure]:
    reads = {
        "GET /v1/me": request("/v1/me", key),
        "GET bunkers/{id}": request(f"{BASE}/bunkers/{bunker_id}", key),
        "GET bunkers": request(f"{BASE}/bunkers", key),
    }
    bare = request("/floor")
    how = {"connections": options.connections, "duration_s": options.seconds}
    await closed(replicas, reads["GET bunkers/{id}"], connections=8, duration_s=1)  # warm
    figures: list[Figure] = []
    for name, content in reads.items():
        fast, floors, cpu = [], [], []
        for _ in range(options.rounds):
            floors.append(await closed([floor], bare, **how))
            before = meter.seconds()
            fast.append(await closed(replicas, content, **how))
            cpu.append((meter.seconds() - before) * 1000 / len(fast[-1].seconds))
        timely = await paced(replicas, content, rate=options.rate, **how)
        figures += [
            _figure(f"{name}, as fast as it goes", "1/s", fast, floors, lambda load: load.rate),
            _figure("  p50 of that", "ms", fast, floors, lambda load: load.percentile(0.5)),
            _figure("  p99 of that", "ms", fast, floors, lambda load: load.percentile(0.99)),
            from_samples("  CPU of controller, MariaDB and Redis for one", cpu, "ms"),
            Figure(
                f"  p99 at {options.rate:g}/s", timely.percentile(0.99), "ms", len(timely.seconds)
            ),
            Figure(f"  rate at {options.rate:g}/s", timely.rate, "1/s", len(timely.seconds)),
        ]
        failures = sum(load.failures for load in [*fast, timely])
        assert not failures, f"{failures} answers of {name} were not 200"
    return figures


def _figure(
    name: str, unit: str, loads: list[Load], floors: list[Load], of: Callable[[Load], float]
) -> Figure:
    return Figure(
        name=name,
        value=statistics.median(of(load) for load in loads),
        unit=unit,
        samples=sum(len(load.seconds) for load in loads),
        floor=statistics.median(of(load) for load in floors),
    )


async def _bunker(port: int, key: str, worker: SimulatedWorker) -> str:
    """The id of a bunker that runs, on a worker that has none of its own."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        await worker.beat(client)
        response = await client.post(
            f"{BASE}/bunkers",
            json={"image": "debian-12"},
            params={"wait": "running", "timeout_s": "20"},
            headers={"Authorization": f"Bearer {key}"},
        )
        return str(response.raise_for_status().json()["data"]["id"])


if __name__ == "__main__":
    sys.exit(main())
