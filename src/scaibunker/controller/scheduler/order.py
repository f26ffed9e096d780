"""Workers by how empty they are, in blocks of neighbours that can be passed over as a whole.

A block bounds what any of its workers has free, and knows what they have between them of images and
profiles. A bound may be too generous after a worker has left the block, never too strict; a search that
found nobody in a block draws its bounds tight again.
"""

from bisect import bisect_left
from itertools import islice

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.scheduler.domain import Candidate, Demand, Strategy, emptiness, fits

BLOCK = 32
"""Workers in a block when it is made; one of twice as many is cut in two."""
ROUNDING = 1e-9


class Block:
    """Some workers, the fullest first."""

    def __init__(self, workers: list[Candidate]) -> None:
        self.workers = workers
        self._keys = [emptiness(each) for each in workers]
        self._tighten()

    def __len__(self) -> int:
        return len(self.workers)

    @property
    def last(self) -> tuple[float, str]:
        """The key of its emptiest worker."""
        return self._keys[-1]

    def add(self, candidate: Candidate) -> None:
        """A worker joins."""
        key = emptiness(candidate)
        at = bisect_left(self._keys, key)
        self._keys.insert(at, key)
        self.workers.insert(at, candidate)
        self._widen(candidate)

    def remove(self, key: tuple[float, str]) -> None:
        """The worker of that key leaves. The bounds stay as they are."""
        at = bisect_left(self._keys, key)
        del self._keys[at], self.workers[at]
        self._loose = True

    def first(self, demand: Demand, strategy: Strategy) -> Candidate | None:
        """Its emptiest, or fullest, worker that fits."""
        if not self._may_fit(demand):
            return None
        workers = reversed(self.workers) if strategy == "spread" else iter(self.workers)
        found = next((each for each in workers if fits(demand, each)), None)
        if found is None and self._loose:
            self._tighten()
        return found

    def _may_fit(self, demand: Demand) -> bool:
        shape = demand.shape
        return (
            shape.cpu_millicores <= self._cpu
            and shape.memory_mb <= self._memory
            and shape.disk_mb <= self._disk
            and demand.network_profile in self._profiles
            and (demand.lazy or demand.image_sha256 in self._images)
            and (demand.template is None or demand.template in self._templates)
            and (not shape.gpu_count or self._may_have_gpus(shape))
        )

    def _may_have_gpus(self, shape: Shape) -> bool:
        if shape.gpu_type is not None:
            return shape.gpu_count <= self._gpus.get(shape.gpu_type, 0)
        return any(shape.gpu_count <= count for count in self._gpus.values())

    def _tighten(self) -> None:
        self._cpu = self._memory = self._disk = 0
        self._gpus: dict[str, int] = {}
        self._profiles: set[str] = set()
        self._images: set[str] = set()
        self._templates: set[str] = set()
        for each in self.workers:
            self._widen(each)
        self._loose = False

    def _widen(self, candidate: Candidate) -> None:
        total, held = candidate.total, candidate.held
        self._cpu = max(self._cpu, total.cpu_millicores - held.cpu_millicores)
        self._memory = max(self._memory, total.memory_mb - held.memory_mb)
        self._disk = max(self._disk, total.disk_mb - held.disk_mb)
        if not candidate.network_profiles <= self._profiles:
            self._profiles |= candidate.network_profiles
        if not candidate.images <= self._images:
            self._images |= candidate.images
        if not candidate.templates <= self._templates:
            self._templates |= candidate.templates
        if total.gpus:
            for kind, count in candidate.free_gpus().items():
                self._gpus[kind] = max(self._gpus.get(kind, 0), count)


class Order:
    """All workers that take bunkers."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._lasts: list[tuple[float, str]] = []

    def add(self, candidate: Candidate) -> None:
        """A worker that is not there."""
        if not self._blocks:
            self._blocks, self._lasts = [Block([candidate])], [emptiness(candidate)]
            return
        at = min(bisect_left(self._lasts, emptiness(candidate)), len(self._blocks) - 1)
        block = self._blocks[at]
        block.add(candidate)
        parts = [block]
        if len(block) > 2 * BLOCK:
            parts = [Block(block.workers[:BLOCK]), Block(block.workers[BLOCK:])]
        self._blocks[at : at + 1] = parts
        self._lasts[at : at + 1] = [each.last for each in parts]

    def remove(self, candidate: Candidate) -> None:
        """A worker that is there, as it was added."""
        key = emptiness(candidate)
        at = bisect_left(self._lasts, key)
        block = self._blocks[at]
        block.remove(key)
        if len(block):
            self._lasts[at] = block.last
        else:
            del self._blocks[at], self._lasts[at]

    def first(self, demand: Demand, strategy: Strategy, least: float) -> Candidate | None:
        """The emptiest, or fullest, worker that fits; of those that are empty for less than `least` it
        is known that they do not."""
        begin = bisect_left(self._lasts, (least - ROUNDING, ""))
        blocks = (
            islice(reversed(self._blocks), len(self._blocks) - begin)
            if strategy == "spread"
            else islice(self._blocks, begin, None)
        )
        found = (block.first(demand, strategy) for block in blocks)
        return next((each for each in found if each is not None), None)
