"""What gateways have done and the controller has not been told yet, over the deaths of gateways and lost answers."""

from collections import Counter
from collections.abc import Mapping

from scaibunker.wire.bounds import MAX_COUNT
from scaibunker.wire.worker.gateway import LABEL, MAX_LABELS, GatewayReport
from scaibunker.worker.gateway import counts

Found = Mapping[str, Mapping[str, int]]
"""By what was done, and by the reason or outcome, since the gateway was started."""
_LABELLED = (counts.DROPPED, counts.GAPS, counts.QUESTIONS, counts.CONNECTIONS)
MAX_KINDS = len(_LABELLED) * MAX_LABELS


class Tally:
    """`batches_waiting` for storage, as whoever brings them there says. What it reports can always be told: a worker whose
    heartbeats cannot is lost."""

    def __init__(self) -> None:
        self._seen: Found = {}
        self._untold: Counter[tuple[str, str]] = Counter()
        self._lost = 0
        self._open = 0
        self.batches_waiting = 0

    def begin(self, found: Found) -> None:
        """Of a gateway that is there from now on; what it had done before others have told."""
        self._seen = found

    def see(self, found: Found, connections_open: int) -> None:
        """How far it is. It may have fallen into a guest's hands: what it says is no more than numbers."""
        for what, by in found.items():
            before = self._seen.get(what, {})
            for of, count in by.items():
                more = max(0, count - before.get(of, 0))
                if more and self._takes(what, of):
                    self._untold[what, of] = min(self._untold[what, of] + more, MAX_COUNT)
        self._seen, self._open = found, connections_open

    def _takes(self, what: str, of: str) -> bool:
        is_known = of == "" if what == counts.RECORDS else what in _LABELLED and LABEL.fullmatch(of)
        return bool(is_known) and ((what, of) in self._untold or len(self._untold) < MAX_KINDS)

    def lost(self) -> None:
        """It is gone, though it was needed."""
        self._seen, self._open = {}, 0
        self._lost += 1

    def report(self) -> GatewayReport:
        """What is to be told now."""
        labelled: dict[str, dict[str, int]] = {what: {} for what in _LABELLED}
        for (what, of), count in self._untold.items():
            if what in labelled and len(labelled[what]) < MAX_LABELS:
                labelled[what][of] = count
        return GatewayReport(
            records_written=self._untold[counts.RECORDS, ""],
            lost=self._lost,
            batches_waiting=self.batches_waiting,
            connections_open=self._open,
            **labelled,
        )

    def told(self, report: GatewayReport) -> None:
        """The controller has it. If only its answer was lost, it hears of some things twice."""
        self._lost -= report.lost
        self._untold[counts.RECORDS, ""] -= report.records_written
        for what in _LABELLED:
            for of, count in getattr(report, what).items():
                self._untold[what, of] -= count
        self._untold = +self._untold
