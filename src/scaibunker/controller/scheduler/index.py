"""The fleet in an order in which the best worker is found without looking at all of them.

Workers that take bunkers lie in one order by how empty they are, and the best one is the first that
fits from one end of it; `order` passes over those that cannot. What only few workers have (an image, a
template, a profile, devices) is found from the other side: they are few. Both ways answer what `domain.choose`
answers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from scaibunker.controller.scheduler.domain import (
    Candidate,
    Demand,
    Strategy,
    choose,
    refusal,
)
from scaibunker.controller.scheduler.order import Order
from scaigrid.errors import GridError

FEW = 4
"""A set is looked through as a whole if its square is at most so many times the fleet: walking the
order would find one of its members no sooner."""


class Index:
    """Candidates by id and by emptiness. No input or output; not shared between threads."""

    def __init__(self) -> None:
        self._all: dict[str, Candidate] = {}
        self._order = Order()
        self._by_image: dict[str, set[str]] = {}
        self._by_template: dict[str, set[str]] = {}
        self._by_profile: dict[str, set[str]] = {}
        self._by_gpu: dict[str, set[str]] = {}
        self._with_gpus: set[str] = set()
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
            self._order.remove(known)
        if candidate.is_open:
            self._order.add(candidate)
        self._all[worker_id] = candidate
        _file(self._by_image, worker_id, known.images if known else (), candidate.images)
        _file(
            self._by_template,
            worker_id,
            known.templates if known else (),
            candidate.templates,
        )
        _file(
            self._by_profile,
            worker_id,
            known.network_profiles if known else (),
            candidate.network_profiles,
        )
        _file(self._by_gpu, worker_id, known.total.gpus if known else (), candidate.total.gpus)
        if candidate.total.gpus:
            self._with_gpus.add(worker_id)
        else:
            self._with_gpus.discard(worker_id)
        self._largest_cpu = max(self._largest_cpu, candidate.total.cpu_millicores)
        self._largest_memory = max(self._largest_memory, candidate.total.memory_mb)

    def best(self, demand: Demand, strategy: Strategy) -> Candidate | None:
        """The worker that should take it; None if none can now."""
        if demand.only is not None:
            one = self._all.get(demand.only)
            return choose(demand, [one] if one else [], strategy)
        if demand.lazy:
            here = self.best(demand.here, strategy)
            if here is not None:
                return here
        template = demand.suiting_template
        if demand.template is None and template in self._by_template:
            warm = self.best(replace(demand, template=template), strategy)
            if warm is not None:
                return warm
        few = self._narrowest(demand)
        if len(few) ** 2 <= FEW * len(self._all):
            return choose(demand, (self._all[each] for each in few), strategy)
        return self._order.first(demand, strategy, self._least(demand))

    def why_none(self, demand: Demand) -> GridError:
        """Why no worker takes it."""
        return refusal(demand, list(self._all.values()))

    def _narrowest(self, demand: Demand) -> set[str]:
        """The smallest set of workers outside of which none fits."""
        sets = [self._by_profile.get(demand.network_profile, set())]
        if not demand.lazy:
            sets.append(self._by_image.get(demand.image_sha256, set()))
        if demand.template is not None:
            sets.append(self._by_template.get(demand.template, set()))
        if demand.shape.gpu_count:
            kind = demand.shape.gpu_type
            sets.append(self._with_gpus if kind is None else self._by_gpu.get(kind, set()))
        return min(sets, key=len)

    def _least(self, demand: Demand) -> float:
        """How empty a worker is at least that can take it: what the demand is of the largest worker,
        it is at least of any other."""
        shape = demand.shape
        return min(shape.cpu_millicores / self._largest_cpu, shape.memory_mb / self._largest_memory)


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
