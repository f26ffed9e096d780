"""What the database's users count: units of work, their retries and failures, writes in queues."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import Histogram
from sqlalchemy.pool import QueuePool

from scaigrid.db.errors import DatabaseBusy, DatabaseUnavailable
from scaigrid.metrics.registry import Metrics

KINDS = ("read", "write", "apply")
Pools = Callable[[], Mapping[str, QueuePool]]


class DatabaseMeter:
    """The database's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        seconds = metrics.histogram(
            "database_unit_seconds", "Units of work and how long they took.", ["kind"]
        )
        self._kinds = {kind: seconds.labels(kind) for kind in KINDS}
        self._retries = metrics.counter(
            "database_retries", "Attempts that were followed by another one.", ["reason"]
        )
        self._failures = metrics.counter(
            "database_failures", "Units of work that ended without the database.", ["reason"]
        )
        self._connections = metrics.gauge(
            "database_connections", "Connections by pool and use.", ["pool", "state"]
        )
        self.queued = metrics.gauge(
            "batch_writer_queued_writes", "Small writes that wait to be written."
        )
        self.refused = metrics.counter(
            "batch_writer_refused_writes", "Small writes that the database did not take."
        )

    def watch(self, pools: Pools) -> None:
        """Show how full the pools are; they are looked at when somebody asks."""
        for name in pools():
            in_use, idle = partial(_in_use, pools, name), partial(_idle, pools, name)
            self._connections.labels(name, "in_use").set_function(in_use)
            self._connections.labels(name, "idle").set_function(idle)

    def unit(self, kind: str) -> "_Unit":
        """A block that is a unit of work, from its first attempt to its end."""
        return _Unit(self, self._kinds[kind])

    def failed(self, error: DatabaseUnavailable) -> None:
        """A unit of work ended without the database."""
        self._failures.labels(_reason(error)).inc()

    def retry(self, error: DatabaseUnavailable) -> None:
        """An attempt failed and there will be another."""
        self._retries.labels(_reason(error)).inc()


class _Unit:
    """Written out, not a generator: it is on the path of every read."""

    __slots__ = ("_begun", "_meter", "_seconds")

    def __init__(self, meter: DatabaseMeter, seconds: Histogram) -> None:
        self._meter = meter
        self._seconds = seconds
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._seconds.observe(time.monotonic() - self._begun)
        if isinstance(error, DatabaseUnavailable):
            self._meter.failed(error)


def _reason(error: DatabaseUnavailable) -> str:
    return "busy" if isinstance(error, DatabaseBusy) else "unavailable"


def _in_use(pools: Pools, name: str) -> float:
    return pools()[name].checkedout()


def _idle(pools: Pools, name: str) -> float:
    return pools()[name].checkedin()
