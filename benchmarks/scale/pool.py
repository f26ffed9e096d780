"""The floor of refusals: all workers as one, which never fails and has every image and profile.

Whoever is refused there would be refused whatever the scheduler did: no placement can do better than one
that never has a bunker on the wrong worker.
"""

from scaibunker.controller.bunkers.domain import Shape
from scaibunker.controller.scheduler.domain import AMOUNTS
from scaibunker.controller.workers.domain import Capacity, Held


class Pool:
    """The whole fleet's capacity in one piece."""

    def __init__(self, total: Capacity) -> None:
        self._total = total
        self._held = Held()

    def take(self, shape: Shape) -> Held | None:
        """What a bunker holds of it; None if it is full."""
        gpus: dict[str, int] = {}
        if shape.gpu_count:
            free = {
                kind: count - self._held.gpus.get(kind, 0)
                for kind, count in self._total.gpus.items()
                if shape.gpu_type in (None, kind)
            }
            kind = max(free, key=lambda each: free[each], default=None)
            if kind is None or free[kind] < shape.gpu_count:
                return None
            gpus = {kind: shape.gpu_count}
        held = Held(1, shape.cpu_millicores, shape.memory_mb, shape.disk_mb, gpus)
        after = self._held.more(held)
        if any(getattr(after, each) > getattr(self._total, each) for each in AMOUNTS):
            return None
        self._held = after
        return held

    def give_back(self, held: Held) -> None:
        """A bunker has ended."""
        self._held = self._held.more(held, -1)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._held.bunkers and not any(getattr(self._held, each) for each in AMOUNTS)
