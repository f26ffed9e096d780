"""How well bunkers lie on their workers: what is looked at every quarter of an hour."""

import statistics
from dataclasses import dataclass

from benchmarks.scale.fleet import Fleet
from benchmarks.scale.workload import SHAPE_OF
from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.scheduler.domain import AMOUNTS

PROBES = ("standard", "large", "largest")
"""Shapes of which it is asked how many more would fit."""


@dataclass(frozen=True, slots=True)
class Look:
    """The fleet at one moment. Shares are of what open workers have; `spread` is the standard deviation
    of how full they are (CPU or memory, whichever is scarcer); `unusable` the free CPU that no bunker
    can have, because the worker has not the memory for the smallest one. `fits` is how many more of a
    shape would find a place one after the other, `fits_pooled` how many would if all that is free were
    one worker's."""

    open_workers: int
    empty_workers: int
    bunkers: int
    cpu_used: float
    memory_used: float
    spread: float
    unusable: float
    fits: dict[str, int]
    fits_pooled: dict[str, int]


def look(fleet: Fleet, bunkers: int) -> Look:
    """The fleet now."""
    shapes = {name: SHAPE_OF[name] for name in PROBES}
    smallest = SHAPE_OF["tiny"]
    fits = dict.fromkeys(PROBES, 0)
    free_of = dict.fromkeys(AMOUNTS, 0)
    total_of = dict.fromkeys(AMOUNTS, 0)
    full: list[float] = []
    empty = stranded = 0
    for worker in fleet.workers.values():
        if not worker.is_open:
            continue
        total, held = worker.total, worker.held
        free = (
            total.cpu_millicores - held.cpu_millicores,
            total.memory_mb - held.memory_mb,
            total.disk_mb - held.disk_mb,
        )
        for at, amount in enumerate(AMOUNTS):
            free_of[amount] += free[at]
            total_of[amount] += getattr(total, amount)
        full.append(1 - worker.candidate().share)
        empty += not held.bunkers
        if not _count(smallest, *free):
            stranded += free[0]
        for name, shape in shapes.items():
            fits[name] += _count(shape, *free)
    used = {amount: 1 - free_of[amount] / max(1, total_of[amount]) for amount in AMOUNTS}
    return Look(
        open_workers=len(full),
        empty_workers=empty,
        bunkers=bunkers,
        cpu_used=used["cpu_millicores"],
        memory_used=used["memory_mb"],
        spread=statistics.pstdev(full) if full else 0.0,
        unusable=stranded / max(1, total_of["cpu_millicores"]),
        fits=fits,
        fits_pooled={name: _count(shape, *free_of.values()) for name, shape in shapes.items()},
    )


def _count(shape: Shape, cpu_millicores: int, memory_mb: int, disk_mb: int) -> int:
    return min(
        cpu_millicores // shape.cpu_millicores,
        memory_mb // shape.memory_mb,
        disk_mb // shape.disk_mb,
    )
