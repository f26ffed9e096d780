"""What the module counts. Sums over all tenants: no label names a bunker, a worker or its owner."""

from collections.abc import Mapping

from scaibunker.controller.bunkers import repository as bunkers
from scaibunker.controller.snapshots import repository as snapshots
from scaibunker.controller.workers import repository as workers
from scaibunker.controller.workers.domain import Presence, WorkerStatus
from scaigrid.clock import Clock
from scaigrid.db import Database
from scaigrid.metrics.registry import Metrics
from scaigrid.operation import system_operation


class ControllerMetrics:
    """What happens in this replica. What there is in the database every replica says alike."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.execs_started = metrics.counter("execs_started", "Commands whose log was opened here.")
        self.execs_ended = metrics.counter(
            "execs_ended", "Commands whose end was recorded here: exited, or lost.", ["outcome"]
        )
        self.placement_failures = metrics.counter(
            "placement_failures",
            "Bunkers for which there was no worker when one was wanted.",
            ["code"],
        )
        self.places_lost = metrics.counter(
            "places_lost", "Places that another replica has taken between the choice and the hold."
        )
        self.quota_drift = metrics.counter(
            "quota_drift",
            "What was mended because counters and rows had come apart, by kind; should stay at 0.",
            ["kind"],
        )
        self.quota_recounts = metrics.counter(
            "quota_recounts", "How often the counters of quotas were made anew from the rows."
        )
        self.quotas_judged_by_rows = metrics.counter(
            "quotas_judged_by_rows", "Creates that were judged by rows, because Redis was away."
        )
        self.passivations = metrics.counter(
            "passivations",
            "Bunkers that were passivated here, or whose passivation failed.",
            ["outcome"],
        )
        self.wakes = metrics.counter(
            "wakes",
            "Passivated bunkers that were woken here (with their memory, or without), or not.",
            ["outcome"],
        )
        self.wake_seconds = metrics.histogram(
            "wake_seconds",
            "From the wish that a passivated bunker runs until it does.",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
        )
        self.passes = metrics.counter("reconcile_passes", "Passes over single bunkers.")

        self.snapshot_seconds = metrics.histogram(
            "snapshot_seconds",
            "From the order of a snapshot to its end, written here.",
            ["kind", "outcome"],
            buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
        )

    def watch(self, database: Database, presence: Presence, clock: Clock) -> None:
        """Count bunkers and workers when somebody asks."""
        op = system_operation("metrics", clock)

        async def by_status() -> Mapping[str, float]:
            async with database.read() as db:
                return await bunkers.count_by_status(op, db)

        async def by_network() -> Mapping[str, float]:
            async with database.read() as db:
                found = await bunkers.networks_in_use(op, db)
            return {profile: float(count) for profile, (count, _) in found.items()}

        async def bandwidth() -> Mapping[str, float]:
            async with database.read() as db:
                found = await bunkers.networks_in_use(op, db)
            return {profile: float(mbit) for profile, (_, mbit) in found.items()}

        async def snapshots_by_status() -> Mapping[str, float]:
            async with database.read() as db:
                return await snapshots.count_by_status(op, db)

        async def by_presence() -> Mapping[str, float]:
            async with database.read() as db:
                known = await workers.everyone(op, db)
            counts = dict.fromkeys((status.value for status in WorkerStatus), 0.0)
            for worker in known:
                counts[presence.status(worker, op.now()).value] += 1
            return counts

        self._metrics.polled(
            "bunkers", "Bunkers that are not at their end, by status.", "status", by_status
        )
        self._metrics.polled(
            "bunkers_on_workers",
            "Bunkers that have a place on a worker, by network profile.",
            "network_profile",
            by_network,
        )
        self._metrics.polled(
            "bandwidth_mbit",
            "Sum of the bandwidths of bunkers that have a place on a worker, by network profile.",
            "network_profile",
            bandwidth,
        )
        self._metrics.polled("snapshots", "Snapshots by status.", "status", snapshots_by_status)
        self._metrics.polled("workers", "Workers by status.", "status", by_presence)
