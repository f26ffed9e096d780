"""`python -m benchmarks.simulated`: what idle simulated workers take of the host that simulates them.

They report to a real controller on MariaDB, all from one process.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

import uvloop
from tests.integration.simulated_worker import IMAGE
from tests.ports import free_port

from benchmarks import processes
from benchmarks.figures import Figure, save, show, this_host
from benchmarks.memory import pss_of

STARTS_OVER_S = 10


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench-simulated.json"))
    parser.add_argument("--workers", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    figures = uvloop.run(measure(options))
    show(figures)
    save(figures, this_host(), options.json)
    return 0


async def measure(options: argparse.Namespace) -> list[Figure]:
    """The figures of one run."""
    count = options.workers
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as name:
        folder, port = Path(name), free_port()
        async with processes.stores(folder) as stores:
            with processes.controller(stores.environment, port, folder) as controller:
                await processes.until_served(port, "/health/ready")
                none = await _simulated(stores, folder, port, controller.pid, 1, 1)
                some = await _simulated(
                    stores, folder, port, controller.pid, count, options.seconds
                )
    each = (some[0] - none[0]) / (count - 1) * 1024
    return [
        Figure(f"memory of {count} idle workers (PSS)", some[0], "MiB", 1, floor=none[0]),
        Figure("memory of one of them", each, "KiB", count),
        Figure(f"CPU of {count} idle workers", some[1], "% of a core", 1),
        Figure("CPU of their controller", some[2], "% of a core", 1),
    ]


async def _simulated(
    stores: processes.Stores, folder: Path, port: int, controller: int, count: int, seconds: float
) -> tuple[float, float, float]:
    """MiB that so many take, and the share of a core that they and their controller use."""
    log = folder / f"simulated-{count}.log"
    argv = [
        sys.executable, "-m", "scaibunker.testing", "--workers", str(count),
        "--controller", f"http://127.0.0.1:{port}", "--image", f"{IMAGE}={1 << 30}",
        "--spread-s", str(STARTS_OVER_S),
    ]  # fmt: skip
    with processes.process(argv, stores.environment, log) as simulated:
        async with asyncio.timeout(120):
            while b"ready" not in log.read_bytes():
                assert simulated.poll() is None, log.read_text()
                await asyncio.sleep(0.1)
        before = _cpu_s(simulated.pid), _cpu_s(controller)
        await asyncio.sleep(seconds)
        used, theirs = _cpu_s(simulated.pid) - before[0], _cpu_s(controller) - before[1]
        return pss_of(simulated.pid), 100 * used / seconds, 100 * theirs / seconds


def _cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
