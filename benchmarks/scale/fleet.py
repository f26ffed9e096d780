"""The workers: how large they are, what they have given away, and what befalls them during the day.

What is kept here is the truth, which the product has in its rows; a place is taken of it under the same
conditions as `controller.workers.places` sets, and it is checked at each step that no worker ever gives
more than it has. What a controller knows of it is a `Replica`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.scale.workload import GPU_TYPES, IMAGES
from scaibunker.controller.scheduler.domain import AMOUNTS, Candidate, Place
from scaibunker.controller.workers.domain import Capacity, Held

SIZES: tuple[tuple[int, float], ...] = ((2, 25), (4, 35), (8, 22), (16, 13), (32, 5))
"""Cores, and how many of a hundred workers have so many; with each core 4 GiB and 50 GB of disk."""
GPU_SHARE = 0.2
"""Of the workers of 16 cores and more, those with devices."""
EVERYWHERE = 8
"""Images that every worker has; the others are on fewer and fewer."""
TRANSIT_SHARE = 0.2


@dataclass(slots=True, eq=False)
class Worker:
    """One worker as it is. `alive`: it reports; `online`: it is believed to."""

    id: str
    total: Capacity
    network_profiles: frozenset[str]
    images: frozenset[str]
    held: Held = field(default_factory=Held)
    bunkers: set[str] = field(default_factory=set)
    alive: bool = True
    online: bool = True
    draining: bool = False

    @property
    def is_open(self) -> bool:
        """Whether new bunkers may go there."""
        return self.online and not self.draining

    def candidate(self) -> Candidate:
        """As the scheduler sees it."""
        return Candidate(
            self.id,
            self.total,
            self.held,
            self.network_profiles,
            self.images,
            online=self.online,
            draining=self.draining,
        )


class Overcommitted(Exception):
    """A worker has given away more than it has, or got back more than it gave."""


class Fleet:
    """All workers."""

    def __init__(self, count: int, seed: int) -> None:
        chance = random.Random(f"fleet {seed}")  # noqa: S311 - the same fleet in every run
        self.workers = {each.id: each for each in _built(count, chance)}
        self.changed: dict[str, None] = {}
        """Workers that have changed since everybody who looks was told."""

    def take(self, place: Place, bunker_id: str) -> bool:
        """Have a bunker hold its place. False if the place is gone: then nothing has happened."""
        worker, held = self.workers[place.worker_id], held_by(place)
        if not worker.is_open or not _has(worker, held):
            return False
        worker.held = worker.held.more(held)
        worker.bunkers.add(bunker_id)
        self._verify(worker)
        return True

    def give_back(self, place: Place, bunker_id: str) -> None:
        """A bunker holds nothing any more."""
        worker = self.workers[place.worker_id]
        worker.held = worker.held.more(held_by(place), -1)
        worker.bunkers.remove(bunker_id)
        self._verify(worker)

    def touch(self, worker: Worker) -> None:
        """It has changed."""
        self.changed[worker.id] = None

    def total(self) -> Capacity:
        """All of it."""
        workers = self.workers.values()
        gpus: dict[str, int] = {}
        for worker in workers:
            for kind, count in worker.total.gpus.items():
                gpus[kind] = gpus.get(kind, 0) + count
        sums = {amount: sum(getattr(w.total, amount) for w in workers) for amount in AMOUNTS}
        return Capacity(**sums, gpus=gpus)

    def _verify(self, worker: Worker) -> None:
        held, total = worker.held, worker.total
        devices = all(0 <= n <= total.gpus.get(kind, 0) for kind, n in held.gpus.items())
        amounts = all(0 <= getattr(held, each) <= getattr(total, each) for each in AMOUNTS)
        if not devices or not amounts or held.bunkers != len(worker.bunkers):
            raise Overcommitted(f"{worker.id} holds {held} of {total}")
        self.touch(worker)


def held_by(place: Place) -> Held:
    """What a place is of its worker."""
    shape = place.shape
    gpus = {place.gpu_type: shape.gpu_count} if place.gpu_type else {}
    return Held(1, shape.cpu_millicores, shape.memory_mb, shape.disk_mb, gpus)


def incidents(
    fleet: Sequence[str], seed: int, hours: float, failing: float, draining: float
) -> Iterator[tuple[float, str, str]]:
    """What befalls workers: time, what (`drain`, `resume`, `fail`, `return`), which. Of all workers a
    share fails for 5 to 60 minutes, another is drained for half an hour to two hours."""
    chance = random.Random(f"incidents {seed}")  # noqa: S311
    end = hours * 3600
    for worker_id in fleet:
        drawn = chance.random()
        at = chance.random() * end
        if drawn < failing:
            yield at, "fail", worker_id
            yield at + chance.uniform(300, 3600), "return", worker_id
        elif drawn < failing + draining:
            yield at, "drain", worker_id
            yield at + chance.uniform(1800, 7200), "resume", worker_id


def _has(worker: Worker, held: Held) -> bool:
    return all(
        getattr(worker.held, each) + getattr(held, each) <= getattr(worker.total, each)
        for each in AMOUNTS
    ) and all(
        worker.held.gpus.get(kind, 0) + count <= worker.total.gpus.get(kind, 0)
        for kind, count in held.gpus.items()
    )


def _built(count: int, chance: random.Random) -> Iterator[Worker]:
    sizes, weights = [cores for cores, _ in SIZES], [weight for _, weight in SIZES]
    for number in range(count):
        cores = chance.choices(sizes, weights)[0]
        gpus: dict[str, int] = {}
        if cores >= 16 and chance.random() < GPU_SHARE:
            gpus = {chance.choice(GPU_TYPES): 8 if cores >= 32 else 4}
        rare = len(IMAGES) - EVERYWHERE
        images = {
            image
            for rank, image in enumerate(IMAGES)
            # From one worker in two down to one in a hundred.
            if rank < EVERYWHERE or chance.random() < 0.5 * 0.02 ** ((rank - EVERYWHERE) / rare)
        }
        profiles = {"isolated", "registry"}
        if chance.random() < TRANSIT_SHARE:
            profiles.add("transit")
        yield Worker(
            f"wrk_{number:05}",
            Capacity(cores * 1000, cores * 4096, cores * 50_000, gpus),
            frozenset(profiles),
            frozenset(images),
        )
