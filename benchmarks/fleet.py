"""`python -m benchmarks.fleet`: choosing workers, holding quotas, taking heartbeats.

The scheduler is measured by itself, at three sizes of the fleet, beside a look at every worker. Quotas are
held in a real Redis, beside a script that does nothing. Heartbeats go to a real controller on MariaDB,
beside a bare FastAPI route. What workers are told of each other's addresses is measured without HTTP.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import uvloop
from tests.integration.simulated_worker import IMAGE, TOKEN
from tests.ports import free_port

from benchmarks import processes, vicinity
from benchmarks.figures import Figure, save, show, this_host
from benchmarks.load import closed, request
from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.domain import Cap, Claim, Resource, amounts_of
from scaibunker.controller.scheduler.domain import Candidate, Demand, Strategy, choose
from scaibunker.controller.scheduler.index import Index
from scaibunker.controller.workers.domain import Capacity, Held
from scaibunker.wire.worker import PROTOCOL_VERSION
from scaibunker.wire.worker import heartbeat as wire
from scaibunker.wire.worker.machines import MachineState, MachineStatus
from scaigrid.ids import new_token
from scaigrid.live.store import LiveStore
from scaigrid.settings import RedisSettings

FLEETS = (100, 1_000, 10_000)
SHAPES = (Shape(100, 64, 64), Shape(1000, 512, 1024), Shape(4000, 8192, 10_000))
HEARTBEAT = "/v1/modules/scaibunker/heartbeat"
BUNKERS_EACH = 20
CALLERS = 16


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench-fleet.json"))
    parser.add_argument("--decisions", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=3, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=64, help="that report at a time")
    options = parser.parse_args()
    figures = uvloop.run(measure(options))
    show(figures)
    save(figures, this_host(), options.json)
    print(f"written to {options.json}")
    return 0


async def measure(options: argparse.Namespace) -> list[Figure]:
    """All figures of one run."""
    figures = [
        _decisions(count, strategy, options.decisions)
        for strategy in ("spread", "pack")
        for count in FLEETS
    ]
    figures += [figure for count in FLEETS for figure in vicinity.measured(count)]
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as name:
        async with processes.stores(Path(name)) as stores:
            figures += await _quotas(stores.redis_url, options)
            figures += await _heartbeats(stores, Path(name), options)
    return figures


def _decisions(count: int, strategy: Strategy, decisions: int) -> Figure:
    """Choices a second, each with what follows: the place is taken, and an older one given back."""
    chance = random.Random(count)  # noqa: S311 - the same load in every run
    index = Index()
    for number in range(count):
        index.put(
            Candidate(
                f"wrk_{number:05}",
                Capacity(64_000, 262_144, 1_000_000, {}),
                Held(memory_mb=chance.randrange(200_000), cpu_millicores=chance.randrange(50_000)),
                frozenset({"isolated"}),
                frozenset({IMAGE}),
            )
        )
    demands = [Demand(chance.choice(SHAPES), "isolated", IMAGE) for _ in range(decisions)]
    everybody = list(index)
    begun = time.perf_counter()
    looks = max(3, 30_000 // count)
    for demand in demands[:looks]:
        choose(demand, everybody, strategy)
    floor = looks / (time.perf_counter() - begun)
    taken: list[tuple[str, Held]] = []
    begun = time.perf_counter()
    for demand in demands:
        found = index.best(demand, strategy)
        assert found is not None
        shape = demand.shape
        held = Held(1, shape.cpu_millicores, shape.memory_mb, shape.disk_mb)
        index.put(replace(found, held=found.held.more(held)))
        taken.append((found.worker_id, held))
        if len(taken) > count:
            worker_id, held = taken.pop(chance.randrange(len(taken)))
            known = index.get(worker_id)
            assert known is not None
            index.put(replace(known, held=known.held.more(held, -1)))
    value = decisions / (time.perf_counter() - begun)
    name = f"{strategy}: decisions, {count:,} workers (floor: a look at each)"
    return Figure(name, value, "1/s", decisions, floor=floor)


async def _quotas(redis_url: str, options: argparse.Namespace) -> list[Figure]:
    live = LiveStore(RedisSettings(url=redis_url, prefix="bench"))
    counters = Counters(live)
    assert await counters.begin("bench")
    assert await counters.finish("bench", "bench")
    nothing = live.client.register_script("return 1")
    caps = {resource: Cap(1_000_000_000, "qpf_1", "large") for resource in Resource}
    amounts = amounts_of(SHAPES[1], persistent=False)

    async def hold() -> None:
        buckets = {f"user:usr_{os.getpid()}": caps, "group:grp_1": caps}
        bunker_id = f"bnk_{new_token()}"
        assert await counters.hold(Claim(bunker_id, amounts, buckets)) == "bench"

    async def bare() -> None:
        await live.ask(nothing(["a"], [1]))

    try:
        await bare()
        rounds = [
            (await _rate(hold, options.seconds), await _rate(bare, options.seconds))
            for _ in range(options.rounds)
        ]
    finally:
        await live.close()
    return [
        Figure(
            "quota holds over two buckets (floor: a bare EVALSHA)",
            statistics.median(mine for mine, _ in rounds),
            "1/s",
            options.rounds,
            floor=statistics.median(floor for _, floor in rounds),
        )
    ]


async def _rate(call: Callable[[], Awaitable[None]], seconds: float) -> float:
    """Calls a second, by several callers at once."""
    until = time.perf_counter() + seconds
    done = 0

    async def again() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await call()
            done += 1

    begun = time.perf_counter()
    await asyncio.gather(*(again() for _ in range(CALLERS)))
    return done / (time.perf_counter() - begun)


async def _heartbeats(
    stores: processes.Stores, folder: Path, options: argparse.Namespace
) -> list[Figure]:
    """One controller, and workers that each report again as soon as they have their answer."""
    figures = []
    with contextlib.ExitStack() as held:
        port, floor = free_port(), free_port()
        held.enter_context(processes.controller(stores.environment, port, folder))
        argv = [sys.executable, "-m", "benchmarks.floor", str(floor)]
        held.enter_context(processes.process(argv, dict(os.environ), folder / "floor.log"))
        await processes.until_served(port, "/health/ready")
        await processes.until_served(floor, "/floor")
        for bunkers in (0, BUNKERS_EACH):
            beats = [_beat(number, bunkers) for number in range(options.workers)]
            await _together(port, beats, 1)  # they are registered
            rates, floors = [], []
            for _ in range(options.rounds):
                floors.append(
                    await _together(floor, [request("/floor")] * len(beats), options.seconds)
                )
                rates.append(await _together(port, beats, options.seconds))
            figures.append(
                Figure(
                    f"heartbeats of {bunkers} machines, one controller (floor: a bare route)",
                    statistics.median(rates),
                    "1/s",
                    options.rounds,
                    floor=statistics.median(floors),
                )
            )
    return figures


async def _together(port: int, contents: list[bytes], seconds: float) -> float:
    loads = await asyncio.gather(
        *(closed([port], each, connections=1, duration_s=seconds) for each in contents)
    )
    failures = sum(load.failures for load in loads)
    assert not failures, f"{failures} answers were not 200"
    return sum(load.rate for load in loads)


def _beat(number: int, bunkers: int) -> bytes:
    """A heartbeat as it is sent. Its machines are of no bunker: that is asked for all the same."""
    body = wire.Heartbeat(
        worker_id=f"wrk_{number:05}",
        name=f"worker {number}",
        address=f"http://127.0.0.1:{10_000 + number}",
        protocol=PROTOCOL_VERSION,
        version="bench",
        acceleration="none",
        network_profiles=["isolated"],
        capacity=wire.Capacity(cpu_millicores=64_000, memory_mb=262_144, disk_mb=1_000_000),
        machines=[
            MachineStatus(bunker_id=f"bnk_{number:05}x{n}", state=MachineState.RUNNING)
            for n in range(bunkers)
        ],
        cached_images=[IMAGE],
    ).model_dump_json()
    head = (
        f"POST {HEARTBEAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


if __name__ == "__main__":
    sys.exit(main())
