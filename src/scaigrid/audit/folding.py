"""Keeps a flood of refusals from filling the disk.

In each minute, so many refusals of one source are entries of their own; what comes after them is
counted, and becomes one entry for each status and code when the minute is over. The source is the
caller, if one is proven, else the client's address; addresses beyond a bound are counted together.
What succeeded is never folded.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from scaigrid.audit.domain import ActorType, Entry
from scaigrid.http.address import source_of

WINDOW_S = 60.0
CHEAP = 600
"""Refusals of one source that are entries of their own, in a window: without a proven caller, or
over its rate limit. They cost whoever sends them nothing."""
PROVEN = 1200
"""Likewise, of a proven caller for any other reason."""
SINGLES = 6000
"""Likewise, of all sources together."""
SOURCES = 1000
"""Sources that are told apart in a window."""
LIMITED = "RATE_LIMITED"
_OTHERS = "others"

Fold = tuple[str, int, str | None]


@dataclass(slots=True)
class _Folded:
    """Refusals that are one entry: the last of them, how many, and since when."""

    last: Entry
    count: int
    first_at: datetime

    def entry(self) -> Entry:
        """What is written of them."""
        folded = {
            "folded": self.count,
            "first_at": self.first_at.isoformat(),
            "last_at": self.last.at.isoformat(),
        }
        return replace(self.last, details=folded)


class Folding:
    """Decides which refusal is an entry of its own. Times are those of a monotonic clock."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._seen: Counter[str] = Counter()
        self._singles = 0
        self._folds: dict[Fold, _Folded] = {}
        self._due: list[Entry] = []

    def take(self, entry: Entry, now: float) -> Entry | None:
        """The entry, if it is to be written now; None if it was counted."""
        self._roll(now)
        source, allowance = _source(entry)
        unknown = source not in self._seen and entry.actor.type is ActorType.ANONYMOUS
        if unknown and len(self._seen) >= SOURCES:
            source, entry = _OTHERS, replace(entry, address=None)
        self._seen[source] += 1
        if self._seen[source] <= allowance and self._singles < SINGLES:
            self._singles += 1
            return entry
        fold = (source, entry.status, entry.code)
        known = self._folds.get(fold)
        if known is None:
            self._folds[fold] = _Folded(entry, 1, entry.at)
        else:
            known.last, known.count = entry, known.count + 1
        return None

    def due(self, now: float) -> list[Entry]:
        """What was counted in windows that are over."""
        self._roll(now)
        due, self._due = self._due, []
        return due

    def drain(self) -> list[Entry]:
        """All that was counted: nothing comes after."""
        self._close()
        due, self._due = self._due, []
        return due

    def _roll(self, now: float) -> None:
        if self._until is None or now >= self._until:
            self._close()
            self._until = now + WINDOW_S

    def _close(self) -> None:
        self._due += [folded.entry() for folded in self._folds.values()]
        self._folds.clear()
        self._seen.clear()
        self._singles = 0


def _source(entry: Entry) -> tuple[str, int]:
    if entry.actor.type is ActorType.ANONYMOUS:
        return f"address {source_of(entry.address)}", CHEAP
    source = f"{entry.actor.type} {entry.actor.id or entry.actor.name}"
    return source, CHEAP if entry.code == LIMITED else PROVEN
