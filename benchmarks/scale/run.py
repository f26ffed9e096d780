"""One simulated day from its options to its figures."""

import contextlib
import os
import platform
import random
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.servers import RedisServer, running

from benchmarks.scale import workload
from benchmarks.scale.day import Day, Outcome
from benchmarks.scale.fleet import Fleet, incidents
from benchmarks.scale.judges import InMemory, InRedis, Judge
from benchmarks.scale.organisation import Organisation
from benchmarks.scale.replica import Replica, Times
from scaibunker.controller.scheduler.domain import Strategy

FAILING, DRAINING = 0.01, 0.05
"""Of all workers, those that fail and those that are drained during the day."""


@dataclass(frozen=True)
class Options:
    """What is simulated. `fill`: how much of all CPU would be in use at the busiest moment if nobody
    were refused. `redis`: quotas are held in a real one."""

    workers: int = 10_000
    bunkers: int = 1_000_000
    hours: float = 24.0
    seed: int = 1
    strategy: Strategy = "spread"
    replicas: int = 1
    tenants: int = 200
    persistent_share: float = 0.03
    gpu_share: float = 0.003
    fill: float = 1.15
    redis: bool = True


async def simulate(
    options: Options,
    said: Callable[[str], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """The day's figures: `outcome` is the same for the same options, `measured` is of this host."""
    fleet = Fleet(options.workers, options.seed)
    mix = workload.Mix(options.bunkers, options.hours, options.persistent_share, options.gpu_share)
    mix, expected = workload.fitted(mix, fleet.total().cpu_millicores, options.fill)
    chance = random.Random(f"organisation {options.seed}")  # noqa: S311 - the same in every run
    organisation = Organisation(chance, options.tenants, expected)
    times = Times()
    schedulers = [Replica(fleet, options.strategy, times) for _ in range(options.replicas)]
    said(
        f"{options.workers:,} workers, {options.bunkers:,} bunkers in {options.hours} h, "
        f"{options.strategy}; {expected:,.0f} at a time if none is refused"
    )
    begun, cpu_begun = time.perf_counter(), time.process_time()
    async with _judge(options) as judge:
        outcome = await Day(fleet, schedulers, judge, said).run(
            workload.day(mix, organisation, options.seed),
            incidents(list(fleet.workers), options.seed, options.hours, FAILING, DRAINING),
            options.hours,
            stopped,
        )
        redis = await _redis_figures(judge)
    return {
        "options": asdict(options),
        "setting": {
            "stretch": mix.stretch,
            "expected_at_once": round(expected),
            "peak_rate": mix.peak_rate,
            "fleet": asdict(fleet.total()),
            "tenants": len(organisation.tenants),
            "users": len(organisation.users),
            "groups": len(organisation.groups),
            "profiles": len(organisation.profiles),
        },
        "outcome": _of(outcome),
        "measured": {
            "wall_s": time.perf_counter() - begun,
            "cpu_s": time.process_time() - cpu_begun,
            "placed": _times(times.placed),
            "refused": _times(times.refused),
            "told": times.told,
            "told_us": times.told_ns / max(1, times.told) / 1e3,
            "places_lost": times.lost,
            "judged": outcome.judged,
            "judged_per_s": outcome.judged / max(1e-9, outcome.judging_s),
            "judging_s": outcome.judging_s,
            "placing_s": outcome.placing_s,
            **redis,
        },
        "host": {
            "cpus": os.cpu_count(),
            "load": os.getloadavg()[0],
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
    }


@contextlib.asynccontextmanager
async def _judge(options: Options) -> AsyncIterator[Judge]:
    if not options.redis:
        yield InMemory()
        return
    with (
        tempfile.TemporaryDirectory(prefix="scaibunker-scale-") as folder,
        contextlib.contextmanager(running)(RedisServer(Path(folder))) as server,
    ):
        judge = InRedis(server.url)
        await judge.begin()
        try:
            yield judge
        finally:
            await judge.close()


async def _redis_figures(judge: Judge) -> dict[str, Any]:
    if not isinstance(judge, InRedis):
        return {}
    said = await judge.said()
    scripts = said["commandstats"]["cmdstat_evalsha"]
    return {
        "redis": {
            "scripts": scripts["calls"],
            "script_us": scripts["usec_per_call"],
            "commands_in_all": said["stats"]["total_commands_processed"],
            "cpu_s": said["cpu"]["used_cpu_user"] + said["cpu"]["used_cpu_sys"],
            "peak_bytes": said["memory"]["used_memory_peak"],
        }
    }


def _of(outcome: Outcome) -> dict[str, Any]:
    return {
        "total": asdict(outcome.total),
        "most_at_once": outcome.most_at_once,
        "left": outcome.left,
        "parts": [asdict(part) for part in outcome.parts],
    }


def _times(samples: "array[int]") -> dict[str, float]:
    """Of decisions, in µs; `per_s` is how many one core would do."""
    if not samples:
        return {"count": 0}
    ordered = sorted(samples)
    mean = sum(ordered) / len(ordered)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e3

    return {
        "count": len(ordered),
        "per_s": 1e9 / mean,
        "mean_us": mean / 1e3,
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": ordered[-1] / 1e3,
    }
