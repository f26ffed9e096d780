"""What the gateways of workers have done, as metrics: sums over all workers that report to this replica."""

import time
from collections.abc import Callable, Mapping

from prometheus_client import Counter

from scaibunker.wire.worker.gateway import MAX_LABELS, GatewayReport
from scaigrid.metrics.registry import Metrics

OTHER = "other"
"""What is said by more words than there are reasons."""


class Gateways:
    """`good_for_s`: after so many seconds without a heartbeat, a worker's connections and batches count no more. `now` of a clock
    that never goes back."""

    def __init__(
        self, metrics: Metrics, good_for_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._good_for_s = good_for_s
        self._now = now
        self._last: dict[str, tuple[float, GatewayReport]] = {}
        self._written = metrics.counter(
            "flow_records", "Records of flows that workers have written."
        )
        self._lost = metrics.counter(
            "gateways_lost", "Gateways that ended while their worker needed them; should stay at 0."
        )
        self._labelled = {
            "records_dropped": _Labelled(
                metrics.counter(
                    "flow_records_dropped",
                    "Records of flows that are missing, by reason.",
                    ["reason"],
                )
            ),
            "record_gaps": _Labelled(
                metrics.counter(
                    "flow_record_gaps",
                    "Times that records of flows are missing, known how many or not, by reason.",
                    ["reason"],
                )
            ),
            "questions": _Labelled(
                metrics.counter(
                    "gateway_questions", "Questions for names, by what became of them.", ["outcome"]
                )
            ),
            "connections": _Labelled(
                metrics.counter(
                    "gateway_connections",
                    "Connections that ended at gateways, by what became of them.",
                    ["outcome"],
                )
            ),
        }
        metrics.gauge(
            "flow_batches_waiting", "Batches of records that wait for storage."
        ).set_function(lambda: self._sum("batches_waiting"))
        metrics.gauge("gateway_connections_open", "Connections that gateways carry.").set_function(
            lambda: self._sum("connections_open")
        )

    def take(self, worker_id: str, report: GatewayReport | None) -> None:
        """Of a worker's heartbeat; None if it says nothing."""
        if report is None:
            self._last.pop(worker_id, None)
            return
        self._last[worker_id] = self._now(), report
        self._written.inc(report.records_written)
        self._lost.inc(report.lost)
        for what, labelled in self._labelled.items():
            labelled.add(getattr(report, what))

    def _sum(self, what: str) -> float:
        since = self._now() - self._good_for_s
        self._last = {w: (at, report) for w, (at, report) in self._last.items() if at >= since}
        return float(sum(getattr(report, what) for _, report in self._last.values()))


class _Labelled:
    """No worker makes more of them than there is room for, whatever it says."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._known: set[str] = set()

    def add(self, found: Mapping[str, int]) -> None:
        for label, count in found.items():
            if len(self._known) < MAX_LABELS:
                self._known.add(label)
            self._counter.labels(label if label in self._known else OTHER).inc(count)
