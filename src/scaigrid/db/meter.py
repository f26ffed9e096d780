"""What the database's users count: units of work, their retries and failures, writes in queues."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from sqlalchemy.pool import QueuePool

from scaigrid.db.errors import DatabaseBusy, DatabaseUnavailable
from scaigrid.metrics.registry import Metrics

Pools = Callable[[], Mapping[str, QueuePool]]


class DatabaseMeter:
    """The database's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(
            "database_unit_seconds", "Units of work and how long they took.", ["kind"]
        )
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

    @contextmanager
    def unit(self, kind: str) -> Iterator[None]:
        """A unit of work from its first attempt to its end."""
        begun = time.monotonic()
        try:
            yield
        except DatabaseUnavailable as error:
            self._failures.labels(_reason(error)).inc()
            raise
        finally:
            self._seconds.labels(kind).observe(time.monotonic() - begun)

    def retry(self, error: DatabaseUnavailable) -> None:
        """An attempt failed and there will be another."""
        self._retries.labels(_reason(error)).inc()


def _reason(error: DatabaseUnavailable) -> str:
    return "busy" if isinstance(error, DatabaseBusy) else "unavailable"


def _in_use(pools: Pools, name: str) -> float:
    return pools()[name].checkedout()


def _idle(pools: Pools, name: str) -> float:
    return pools()[name].checkedin()
