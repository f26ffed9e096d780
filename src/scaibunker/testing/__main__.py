"""`python -m scaibunker.testing`: simulated workers that report to a controller until they are stopped.

The worker token is read from `SCAIBUNKER_WORKER_TOKEN`.
"""

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import structlog
import uvloop

from scaibunker.testing import fleet, lies
from scaibunker.testing.faults import Faults
from scaibunker.testing.host import SimulatedHost
from scaibunker.worker.errors import WorkerFault

TOKEN = "SCAIBUNKER_WORKER_TOKEN"  # noqa: S105 - the name of a variable
SLOW_S = 2.0
DESCRIPTORS_EACH = 8
"""File descriptors of one host that is busy: its lock, its port, connections both ways."""


def _set(**values: object) -> Callable[[Faults], None]:
    def switch(faults: Faults) -> None:
        for name, value in values.items():
            setattr(faults, name, value)

    return switch


FAULTS: Mapping[str, Callable[[Faults], None]] = {
    "slow": _set(slow_s=SLOW_S),
    "deaf": _set(deaf=True),
    "mute": _set(mute=True),
    "forgetting": _set(lie=lies.forgetting),
    "dying": _set(dies_after_accepting=True),
    "hanging": _set(boot="hangs"),
    "panicking": _set(boot="panics"),
}
"""What `--fault` can switch on."""


def main() -> int:
    """Entry point; returns the exit status."""
    options = _parse()
    token = os.environ.get(TOKEN, "")
    if not token:
        print(f"{TOKEN} is not set", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 64 + DESCRIPTORS_EACH * options.workers
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, most), most))
    try:
        with tempfile.TemporaryDirectory(prefix="scaibunker-sim-") as folder:
            uvloop.run(_run(options, token, Path(folder)))
    except WorkerFault as fault:
        print(fault.message, file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace, token: str, folder: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with fleet.hosts(
        options.workers,
        folder,
        controller_url=options.controller,
        token=token,
        images=dict(options.image),
        boot_s=options.boot_s,
        spread_s=options.spread_s,
    ) as hosts:
        _switch_on(hosts, options.fault)
        print(f"ready {len(hosts)}", flush=True)
        began, busy = time.monotonic(), time.process_time()
        await stop.wait()
        share = (time.process_time() - busy) / (time.monotonic() - began)
        machines = sum(len(host.machines) for host in hosts)
        print(f"{machines} machines ran at the end; {share:.1%} of a core was used")


def _switch_on(hosts: Iterable[SimulatedHost], wanted: Iterable[tuple[str, int]]) -> None:
    """Each fault on so many hosts of its own, from the first on."""
    waiting = iter(hosts)
    for name, count in wanted:
        for _, host in zip(range(count), waiting, strict=False):
            FAULTS[name](host.faults)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scaibunker.testing", description=__doc__)
    parser.add_argument("--controller", required=True, metavar="URL")
    parser.add_argument("--workers", type=int, default=100, metavar="N")
    parser.add_argument(
        "--image", type=_pair, action="append", default=[], metavar="SHA256=BYTES",
        help="an image that the workers have; may be given again",
    )  # fmt: skip
    parser.add_argument("--boot-s", type=float, default=1.0, help="seconds of a machine's boot")
    parser.add_argument("--spread-s", type=float, default=10.0, help="seconds to start them over")
    parser.add_argument(
        "--fault", type=_fault, action="append", default=[], metavar="NAME=N",
        help=f"switch a fault on in N workers: {', '.join(FAULTS)}",
    )  # fmt: skip
    return parser.parse_args()


def _pair(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return name, int(number)


def _fault(text: str) -> tuple[str, int]:
    name, number = _pair(text)
    if name not in FAULTS:
        raise ValueError(name)
    return name, number


if __name__ == "__main__":
    sys.exit(main())
