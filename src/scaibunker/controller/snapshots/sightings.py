"""What workers last said about the snapshots that they make. Observed truth: in memory, rebuilt by the
next heartbeat, or by asking."""

from collections import OrderedDict
from collections.abc import Sequence

from scaibunker.wire.worker.snapshots import SnapshotStatus
from scaigrid.clock import Clock

MAX_KNOWN = 20_000
"""Sightings that are kept; beyond that the oldest is dropped."""

MAX_REASON = 2000
"""Characters of a reason that are kept."""


class Sightings:
    """The last word about each snapshot, by worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str], tuple[SnapshotStatus, float]] = OrderedDict()

    def report(self, worker_id: str, statuses: Sequence[SnapshotStatus]) -> None:
        """A heartbeat arrived that names these."""
        now = self._clock.monotonic()
        for status in statuses:
            self.observe(worker_id, status, now)

    def observe(self, worker_id: str, status: SnapshotStatus, at: float) -> None:
        """A worker said this, asked at that moment. Does not replace what it said since."""
        key = (worker_id, status.snapshot_id)
        if status.reason is not None and len(status.reason) > MAX_REASON:
            status = status.model_copy(update={"reason": status.reason[:MAX_REASON]})
        known = self._seen.pop(key, None)
        if known is not None and known[1] > at:
            status, at = known
        self._seen[key] = (status, at)
        if len(self._seen) > MAX_KNOWN:
            self._seen.popitem(last=False)

    def last(self, worker_id: str, snapshot_id: str, within_s: float) -> SnapshotStatus | None:
        """What a worker said of a snapshot in the last so many seconds, if anything."""
        seen = self._seen.get((worker_id, snapshot_id))
        if seen is None or self._clock.monotonic() - seen[1] >= within_s:
            return None
        return seen[0]

    def forget(self, worker_id: str, snapshot_id: str) -> None:
        """The worker knows it no longer."""
        self._seen.pop((worker_id, snapshot_id), None)
