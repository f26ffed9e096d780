"""The fleet in an order in which the best worker is found without looking at all of them.

Workers that take bunkers lie in one list by how empty they are. The best one is at an end of it, or
is the first that fits from there: with workers that are much alike that is a step or two whatever
their number. What only few workers have (an image, a profile) is found from the other side: they are
few. Both ways answer what `domain.choose` answers.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from itertools import islice

from scaibunker.controller.scheduler.domain import (
    Candidate,
    Demand,
    Strategy,
    choose,
    fits,
    refusal,
)
from scaigrid.errors import GridError

FEW = 4
"""A set is looked through as a whole if its square is at most so many times the fleet: walking the
order would find one of its members no sooner."""
ROUNDING = 1e-9


class Index:
    """Candidates by id and by emptiness. No input or output; not shared between threads."""

    def __init__(self) -> None:
        self._all: dict[str, Candidate] = {}
        self._order: list[tuple[float, str]] = []
        self._by_image: dict[str, set[str]] = {}
        self._by_profile: dict[str, set[str]] = {}
        self._by_gpu: dict[str, set[str]] = {}
        self._largest_cpu = self._largest_memory = 1

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._all.values())

    def get(self, worker_id: str) -> Candidate | None:
        """The worker as it was put last."""
        return self._all.get(worker_id)

    def put(self, candidate: Candidate) -> None:
        """A worker as it is now."""
        worker_id = candidate.worker_id
        known = self._all.get(worker_id)
        if known == candidate:
            return
        if known is not None and known.is_open:
            del self._order[bisect_left(self._order, (known.share, worker_id))]
        if candidate.is_open:
            insort(self._order, (candidate.share, worker_id))
        self._all[worker_id] = candidate
        _file(self._by_image, worker_id, known.images if known else (), candidate.images)
        _file(
            self._by_profile,
            worker_id,
            known.network_profiles if known else (),
            candidate.network_profiles,
        )
        _file(self._by_gpu, worker_id, known.total.gpus if known else (), candidate.total.gpus)
        self._largest_cpu = max(self._largest_cpu, candidate.total.cpu_millicores)
        self._largest_memory = max(self._largest_memory, candidate.total.memory_mb)

    def best(self, demand: Demand, strategy: Strategy) -> Candidate | None:
        """The worker that should take it; None if none can now."""
        if demand.lazy:
            here = self.best(demand.here, strategy)
            if here is not None:
                return here
        few = self._narrowest(demand)
        if few is not None and len(few) ** 2 <= FEW * len(self._all):
            return choose(demand, (self._all[each] for each in few), strategy)
        return next((c for c in self._walk(demand, strategy) if fits(demand, c)), None)

    def why_none(self, demand: Demand) -> GridError:
        """Why no worker takes it."""
        return refusal(demand, list(self._all.values()))

    def _narrowest(self, demand: Demand) -> set[str] | None:
        """The smallest set of workers outside of which none fits."""
        sets = [self._by_profile.get(demand.network_profile, set())]
        if not demand.lazy:
            sets.append(self._by_image.get(demand.image_sha256, set()))
        if demand.shape.gpu_count and demand.shape.gpu_type is not None:
            sets.append(self._by_gpu.get(demand.shape.gpu_type, set()))
        return min(sets, key=len)

    def _walk(self, demand: Demand, strategy: Strategy) -> Iterator[Candidate]:
        """Workers from the best on, without those that are too full for certain: what the demand is
        of the largest worker, it is at least of any other."""
        shape = demand.shape
        floor = min(
            shape.cpu_millicores / self._largest_cpu, shape.memory_mb / self._largest_memory
        )
        first = bisect_left(self._order, (floor - ROUNDING, ""))
        if strategy == "spread":
            found: Iterator[tuple[float, str]] = islice(
                reversed(self._order), len(self._order) - first
            )
        else:
            found = _fullest_first(self._order, first)
        return (self._all[worker_id] for _, worker_id in found)


def _fullest_first(order: list[tuple[float, str]], first: int) -> Iterator[tuple[float, str]]:
    """From a place in the order on; of equally full workers the one with the largest id first."""
    while first < len(order):
        share = order[first][0]
        after = bisect_left(order, (share, "\U0010ffff"), first)
        yield from reversed(order[first:after])
        first = after


def _file(
    drawer: dict[str, set[str]], worker_id: str, before: Iterable[str], now: Iterable[str]
) -> None:
    """Bring the sets up to date that a worker is in."""
    if before is now:
        return
    left, joined = set(before) - set(now), set(now) - set(before)
    for key in left:
        drawer[key].discard(worker_id)
        if not drawer[key]:
            del drawer[key]
    for key in joined:
        drawer.setdefault(key, set()).add(worker_id)
