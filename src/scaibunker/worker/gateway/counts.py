"""What a gateway has done since it was started, for operators: of all its machines together, by words that are ours alone."""

from collections import Counter
from collections.abc import Mapping

RECORDS, DROPPED, GAPS = "records_written", "records_dropped", "record_gaps"
QUESTIONS, CONNECTIONS = "questions", "connections"
"""What is counted. Records that were written have no reason; the others are by reason or outcome."""


class Counts:
    """Of one process. `connections_open`: of the proxy, now."""

    def __init__(self) -> None:
        self._found: Counter[tuple[str, str]] = Counter()
        self.connections_open = 0

    def add(self, what: str, of: str = "", count: int = 1) -> None:
        """`of`: a reason or an outcome, and nothing that a guest wrote."""
        self._found[what, of] += count

    def all(self) -> Mapping[str, dict[str, int]]:
        """By what, and by the reason or outcome."""
        found: dict[str, dict[str, int]] = {}
        for (what, of), count in self._found.items():
            found.setdefault(what, {})[of] = count
        return found
