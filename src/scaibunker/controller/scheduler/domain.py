"""Who can take a bunker, who of them should, and why nobody can. Pure functions.

`index` answers the same as `choose` without looking at everybody; `placement` takes the place that was
chosen, in a statement that fails if it is gone: what is known here may be a moment old.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Literal

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.scheduler.errors import (
    EveryWorkerFailed,
    NoSuitableWorker,
    WorkerUnavailable,
)
from scaibunker.controller.workers.domain import AMOUNTS, Capacity, Held
from scaibunker.wire.worker.templates import template_of
from scaigrid.errors import GridError, detail

Strategy = Literal["spread", "pack"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as the scheduler sees it."""

    worker_id: str
    total: Capacity
    held: Held
    network_profiles: AbstractSet[str]
    images: AbstractSet[str]
    templates: AbstractSet[str] = frozenset()
    online: bool = True
    draining: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it takes new bunkers at all."""
        return self.online and not self.draining

    def free(self, amount: str) -> int:
        """What it can still give of one of `AMOUNTS`."""
        return int(getattr(self.total, amount) - getattr(self.held, amount))

    def free_gpus(self) -> dict[str, int]:
        """Devices it can still give, by type."""
        held = self.held.gpus
        return {kind: count - held.get(kind, 0) for kind, count in self.total.gpus.items()}

    @property
    def share(self) -> float:
        """How empty it is: the free part of what it has least of, CPU or memory."""
        cpu = self.free("cpu_millicores") / max(1, self.total.cpu_millicores)
        return min(cpu, self.free("memory_mb") / max(1, self.total.memory_mb))


@dataclass(frozen=True, slots=True)
class Demand:
    """What a bunker needs of its worker. `lazy`: a worker may fetch the image when it is ordered.
    `refused_by`: workers that could not build it. `template`: the worker has it, so that the machine need not boot.
    `only`: the worker that owns its bridges."""

    shape: Shape
    network_profile: str
    image_sha256: str
    lazy: bool = False
    refused_by: AbstractSet[str] = frozenset()
    template: str | None = None
    only: str | None = None

    @property
    def suiting_template(self) -> str:
        """The name of the template that its machine can be made of."""
        shape = self.shape
        return template_of(
            self.image_sha256, shape.cpu_millicores, shape.memory_mb, self.network_profile
        )

    @property
    def here(self) -> "Demand":
        """The same of workers that have the image."""
        return replace(self, lazy=False)


@dataclass(frozen=True, slots=True)
class Place:
    """What is taken of a worker for a bunker. `gpu_type` is the type it gets, if it gets any."""

    worker_id: str
    shape: Shape
    gpu_type: str | None


def place_on(demand: Demand, candidate: Candidate) -> Place:
    """The place that a bunker takes on a worker that fits."""
    return Place(candidate.worker_id, demand.shape, _gpu_type(demand.shape, candidate))


def fits(demand: Demand, candidate: Candidate) -> bool:
    """Whether a worker can take it now."""
    shape, total, held = demand.shape, candidate.total, candidate.held
    return (
        candidate.is_open
        and shape.cpu_millicores <= total.cpu_millicores - held.cpu_millicores
        and shape.memory_mb <= total.memory_mb - held.memory_mb
        and shape.disk_mb <= total.disk_mb - held.disk_mb
        and _is_equipped(demand, candidate)
        and (not shape.gpu_count or _gpu_type(shape, candidate) is not None)
    )


def choose(
    demand: Demand, candidates: Iterable[Candidate], strategy: Strategy = "spread"
) -> Candidate | None:
    """The worker that should take it, of those that can: one that has the image before one that
    must fetch it, one that has a template before one that must boot it, then the emptiest, or the fullest."""
    fitting = [candidate for candidate in candidates if fits(demand, candidate)]
    if demand.lazy:
        here = [c for c in fitting if demand.image_sha256 in c.images]
        fitting = here or fitting
    template = demand.suiting_template
    fitting = [c for c in fitting if template in c.templates] or fitting
    best = max if strategy == "spread" else min
    return best(fitting, key=emptiness, default=None)


def emptiness(candidate: Candidate) -> tuple[float, str]:
    """What workers are ordered by; the id settles ties, so that the choice is repeatable."""
    return candidate.share, candidate.worker_id


def refusal(demand: Demand, candidates: Sequence[Candidate]) -> GridError:
    """Why none of these workers takes it: WorkerUnavailable or NoSuitableWorker, which name what is
    missing."""
    if demand.only is not None:
        candidates = [c for c in candidates if c.worker_id == demand.only]
        if not candidates:
            return _lacking(NoSuitableWorker, "interfaces", "no worker owns the bridges")
    which = "the worker that owns the bridges" if demand.only else None
    left: Sequence[Candidate] = [c for c in candidates if c.online]
    if not left:
        message = f"{which} is not online" if which else "no worker is online"
        return _lacking(WorkerUnavailable, "worker", message)
    left = [c for c in left if not c.draining]
    if not left:
        message = f"{which} is draining" if which else "every worker that is online is draining"
        return _lacking(WorkerUnavailable, "worker", message)
    profile = demand.network_profile
    left = [c for c in left if profile in c.network_profiles]
    if not left:
        message = f"no worker offers the profile {profile}"
        return _lacking(NoSuitableWorker, "network_profile", message)
    left = [c for c in left if demand.lazy or demand.image_sha256 in c.images]
    if not left:
        return _lacking(NoSuitableWorker, "image", "no worker has the image ready")
    left = [c for c in left if c.worker_id not in demand.refused_by]
    if not left:
        message = "every worker that could take it has failed to build it"
        return _lacking(EveryWorkerFailed, "worker", message)
    return _without_room(demand.shape, left)


def _is_equipped(demand: Demand, candidate: Candidate) -> bool:
    return (
        demand.network_profile in candidate.network_profiles
        and (demand.lazy or demand.image_sha256 in candidate.images)
        and (demand.template is None or demand.template in candidate.templates)
        and candidate.worker_id not in demand.refused_by
        and demand.only in (None, candidate.worker_id)
    )


def _gpu_type(shape: Shape, candidate: Candidate) -> str | None:
    """The type of its devices that a bunker gets. One that named none gets those of which the
    fewest are free, so that larger requests still find theirs; None if there are not enough."""
    if not shape.gpu_count:
        return None
    free = candidate.free_gpus()
    if shape.gpu_type is not None:
        return shape.gpu_type if free.get(shape.gpu_type, 0) >= shape.gpu_count else None
    enough = [(count, kind) for kind, count in free.items() if count >= shape.gpu_count]
    return min(enough)[1] if enough else None


def _lacking(error: type[GridError], field: str, message: str) -> GridError:
    return error(f"{message[0].upper()}{message[1:]}.", details=[detail(field, message)])


def _without_room(shape: Shape, candidates: Sequence[Candidate]) -> GridError:
    if shape.gpu_count:
        having = [c for c in candidates if _devices(shape, c.total.gpus)]
        if not having:
            wanted = shape.gpu_type or "any type"
            return _lacking(WorkerUnavailable, "gpu_type", f"no worker has a GPU of {wanted}")
        candidates = [c for c in having if _gpu_type(shape, c) is not None]
        if not candidates:
            free = max(_devices(shape, c.free_gpus()) for c in having)
            message = f"no worker has {shape.gpu_count} GPUs free"
            entry = detail("gpu_count", message, requested=shape.gpu_count, free=max(0, free))
            return WorkerUnavailable(f"No worker has {shape.gpu_count} GPUs free.", details=[entry])
    return _too_full(shape, candidates)


def _devices(shape: Shape, gpus: Mapping[str, int]) -> int:
    """The most devices of one type that would do."""
    if shape.gpu_type is not None:
        return gpus.get(shape.gpu_type, 0)
    return max(gpus.values(), default=0)


def _too_full(shape: Shape, candidates: Sequence[Candidate]) -> GridError:
    """The refusal, with what the least full worker lacks."""
    best = min(candidates, key=lambda c: _lacks(shape, c))
    details = [
        detail(
            amount,
            f"{getattr(shape, amount)} asked for, {max(0, free)} free",
            requested=getattr(shape, amount),
            free=max(0, free),
        )
        for amount, free in _missing(shape, best).items()
    ]
    named = ", ".join(str(entry["field"]) for entry in details)
    return WorkerUnavailable(f"No worker has enough free: {named}.", details=details)


def _lacks(shape: Shape, candidate: Candidate) -> int:
    """Of how many amounts it has not enough free. Everybody is asked for a refusal: hence no loop."""
    total, held = candidate.total, candidate.held
    return (
        (shape.cpu_millicores > total.cpu_millicores - held.cpu_millicores)
        + (shape.memory_mb > total.memory_mb - held.memory_mb)
        + (shape.disk_mb > total.disk_mb - held.disk_mb)
    )


def _missing(shape: Shape, candidate: Candidate) -> dict[str, int]:
    """The amounts that are free but do not suffice."""
    free = {amount: candidate.free(amount) for amount in AMOUNTS}
    return {amount: left for amount, left in free.items() if getattr(shape, amount) > left}
