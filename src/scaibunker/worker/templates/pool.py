"""The prepared machines that wait, and which shapes there should be some of."""

from collections import OrderedDict
from collections.abc import Collection

from scaibunker.worker.templates.shape import Shape
from scaibunker.worker.templates.slot import Slot
from scaibunker.worker.templates.template import Template

IN_USE_S = 900.0
"""A shape that nobody has asked for in so many seconds needs no prepared machine."""
SHAPES = 4
"""Shapes that have prepared machines at most: those that were used last."""
TYPICAL_MB = 128
"""What a prepared machine takes of the host's memory, as long as there was none of its shape to look at."""


class Pool:
    """`each` machines of a shape; with the templates in memory they take at most `memory_mb` MiB. Times are of the
    monotonic clock, in seconds."""

    def __init__(self, each: int, memory_mb: int) -> None:
        self._each = each
        self._memory_mb = memory_mb
        self._used: OrderedDict[Shape, float] = OrderedDict()
        self._slots: list[tuple[Slot, Template]] = []
        self._sizes: dict[Shape, int] = {}
        self.lost: list[Slot] = []
        """Those whose process has ended, to be cleared away."""

    def __len__(self) -> int:
        return len(self._slots)

    def used(self, shape: Shape, now: float) -> None:
        """Somebody wants a machine of that shape."""
        self._used[shape] = now
        self._used.move_to_end(shape)
        while len(self._used) > SHAPES:
            self._used.popitem(last=False)

    def add(self, slot: Slot, template: Template) -> None:
        self._slots.append((slot, template))
        self._sizes[slot.stand.shape] = slot.taken_mb

    def take(self, template: Template) -> Slot | None:
        """One that was made of it, which is no longer in the pool."""
        for entry in self._slots:
            slot, made_of = entry
            if made_of is template and not slot.ended.is_set():
                self._slots.remove(entry)
                return slot
        return None

    def remove(self, slot: Slot) -> bool:
        """Whether it was there."""
        before = len(self._slots)
        self._slots = [entry for entry in self._slots if entry[0] is not slot]
        return len(self._slots) < before

    def outdated(self, templates: Collection[Template], now: float) -> list[Slot]:
        """Take out those whose template is gone, or that nobody uses any more, and those that have ended."""
        wanted = self._wanted(now)
        old = [
            slot
            for slot, made_of in self._slots
            if made_of not in templates or slot.stand.shape not in wanted
        ]
        gone, self.lost = self.lost, []
        for slot in old:
            self.remove(slot)
        return old + gone

    def drain(self) -> list[Slot]:
        """Take all of them out."""
        slots = [slot for slot, _ in self._slots] + self.lost
        self._slots, self.lost = [], []
        return slots

    def lacking(self, now: float, templates_mb: int) -> list[Shape]:
        """Shapes that there should be one more of, as far as memory allows; the one that was used last first."""
        taken = templates_mb + sum(slot.taken_mb for slot, _ in self._slots)
        return [
            shape
            for shape in self._wanted(now)
            if self._count(shape) < self._each
            and taken + self._sizes.get(shape, TYPICAL_MB) <= self._memory_mb
        ]

    def idle_in(self, now: float) -> float:
        """Seconds until a shape is in use no more."""
        return max(1.0, IN_USE_S - max((now - at for at in self._used.values()), default=0.0))

    def _wanted(self, now: float) -> list[Shape]:
        return [s for s, at in reversed(self._used.items()) if now - at < IN_USE_S]

    def _count(self, shape: Shape) -> int:
        return sum(slot.stand.shape == shape for slot, _ in self._slots)
