"""Filter, then score. Pure: who is asked for what is passed in, the choice comes out.

The caller holds the transaction in which the choice is written, so that two creates never take the
last place twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.workers.domain import Used, Worker
from scaigrid.errors import GridError, detail

Strategy = Literal["spread", "pack"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker with what its live bunkers hold."""

    worker: Worker
    used: Used
    online: bool

    def free(self) -> dict[str, int]:
        """What it can still give, by the names of a request's fields."""
        total = self.worker.capacity
        return {
            "cpu_millicores": total.cpu_millicores - self.used.cpu_millicores,
            "memory_mb": total.memory_mb - self.used.memory_mb,
            "disk_mb": total.disk_mb - self.used.disk_mb,
        }

    def free_gpus(self, gpu_type: str | None) -> int:
        """Devices it can still give. Those in use count against every type: which type a bunker
        that named none got is the worker's choice."""
        gpus = self.worker.capacity.gpus
        had = gpus.get(gpu_type, 0) if gpu_type else sum(gpus.values())
        return had - self.used.gpus


@dataclass(frozen=True, slots=True)
class Demand:
    """What a bunker needs of its worker."""

    shape: Shape
    network_profile: str
    image_sha256: str


def choose(
    demand: Demand, candidates: Sequence[Candidate], strategy: Strategy = "spread"
) -> Worker:
    """The worker that takes it. Raises WorkerUnavailable or NoSuitableWorker, saying what failed."""
    left = [c for c in candidates if c.online]
    _need(left, WorkerUnavailable, "worker", "no worker is online")
    left = [c for c in left if not c.worker.draining]
    _need(left, WorkerUnavailable, "worker", "every worker that is online is draining")
    profile = demand.network_profile
    left = [c for c in left if profile in c.worker.network_profiles]
    _need(left, NoSuitableWorker, "network_profile", f"no worker offers the profile {profile}")
    left = [c for c in left if demand.image_sha256 in c.worker.cached_images]
    _need(left, NoSuitableWorker, "image", "no worker has the image ready")
    if demand.shape.gpu_count:
        left = _with_gpus(demand.shape, left)
    fitting = [c for c in left if not _missing(demand.shape, c)]
    if not fitting:
        raise _too_full(demand.shape, left)
    return max(fitting, key=_score(strategy)).worker


def _need(left: Sequence[Candidate], error: type[GridError], field: str, message: str) -> None:
    if not left:
        raise error(f"{message[0].upper()}{message[1:]}.", details=[detail(field, message)])


def _with_gpus(shape: Shape, candidates: Sequence[Candidate]) -> list[Candidate]:
    wanted = shape.gpu_type or "any type"
    having = [c for c in candidates if c.free_gpus(shape.gpu_type) + c.used.gpus > 0]
    _need(having, NoSuitableWorker, "gpu_type", f"no worker has a GPU of {wanted}")
    free = [c for c in having if c.free_gpus(shape.gpu_type) >= shape.gpu_count]
    _need(free, WorkerUnavailable, "gpu_count", f"no worker has {shape.gpu_count} GPUs free")
    return free


def _missing(shape: Shape, candidate: Candidate) -> dict[str, int]:
    """The amounts that are free but do not suffice."""
    wanted = {
        "cpu_millicores": shape.cpu_millicores,
        "memory_mb": shape.memory_mb,
        "disk_mb": shape.disk_mb,
    }
    free = candidate.free()
    return {field: free[field] for field, amount in wanted.items() if amount > free[field]}


def _too_full(shape: Shape, candidates: Sequence[Candidate]) -> WorkerUnavailable:
    """The refusal, with what the least full worker lacks."""
    best = min(candidates, key=lambda c: len(_missing(shape, c)))
    details = [
        detail(
            field,
            f"{getattr(shape, field)} asked for, {max(0, free)} free",
            requested=getattr(shape, field),
            free=max(0, free),
        )
        for field, free in _missing(shape, best).items()
    ]
    named = ", ".join(str(entry["field"]) for entry in details)
    return WorkerUnavailable(f"No worker has enough free: {named}.", details=details)


def _score(strategy: Strategy) -> Callable[[Candidate], tuple[float, str]]:
    """Larger is better; the id settles ties, so that the choice is repeatable."""

    def score(candidate: Candidate) -> tuple[float, str]:
        total, free = candidate.worker.capacity, candidate.free()
        share = min(
            free["memory_mb"] / max(1, total.memory_mb),
            free["cpu_millicores"] / max(1, total.cpu_millicores),
        )
        return (share if strategy == "spread" else -share, candidate.worker.id)

    return score
