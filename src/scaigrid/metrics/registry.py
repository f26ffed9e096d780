"""One registry for each process, and the names that the platform and its modules have in it.

What a module declares begins with its id. Numbers that only the database knows are *polled*: read
when somebody scrapes, in one query, at most once in a while, and left out while the database does
not answer, since an old number would look like a true one.
"""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from scaigrid.version import VERSION

log = structlog.get_logger(__name__)

Read = Callable[[], Awaitable[Mapping[str, float]]]
"""Numbers by the value of a label."""

KEEP_S = 1.0
"""How long an exposition is given again: strangers that scrape in a circle cost one a second."""
POLL_KEEP_S = 15.0
POLL_LIMIT_S = 2.0
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Buckets for how long something took."""

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Declares metrics whose names begin with `prefix`."""

    def __init__(self, prefix: str = "scaigrid", shared: "_Shared | None" = None) -> None:
        self._prefix = prefix
        self._shared = shared or _Shared()

    @property
    def registry(self) -> CollectorRegistry:
        """For collectors of the library's own."""
        return self._shared.registry

    def of_module(self, module_id: str) -> "Metrics":
        """The same registry under a module's own prefix."""
        return Metrics(module_id.replace("-", "_"), self._shared)

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        """Something that only grows; its name gets `_total`."""
        return Counter(name, meaning, labels, namespace=self._prefix, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        """Something that goes up and down."""
        return Gauge(name, meaning, labels, namespace=self._prefix, registry=self.registry)

    def histogram(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = SECONDS,
    ) -> Histogram:
        """How something is distributed, in seconds unless its name says otherwise."""
        return Histogram(
            name, meaning, labels, namespace=self._prefix, registry=self.registry, buckets=buckets
        )

    def polled(self, name: str, meaning: str, label: str, read: Read) -> None:
        """A gauge that is read when somebody scrapes. `read` is one cheap query."""
        self._shared.polled.append(_Polled(self.gauge(name, meaning, [label]), read))

    async def exposition(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return await self._shared.exposition()


class _Shared:
    """What all parts of a process have in common."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Gauge(
            "scaigrid_build_info", "Always 1.", ["version", "python"], registry=self.registry
        )
        build.labels(VERSION, platform.python_version()).set(1)
        self.polled: list[_Polled] = []
        self._turn = asyncio.Lock()
        self._text = b""
        self._made_at = -KEEP_S

    async def exposition(self) -> bytes:
        async with self._turn:
            if time.monotonic() - self._made_at >= KEEP_S:
                await asyncio.gather(*(each.refresh() for each in self.polled))
                self._text = generate_latest(self.registry)
                self._made_at = time.monotonic()
            return self._text


class _Polled:
    def __init__(self, gauge: Gauge, read: Read) -> None:
        self._gauge = gauge
        self._read = read
        self._read_at = -POLL_KEEP_S

    async def refresh(self) -> None:
        if time.monotonic() - self._read_at < POLL_KEEP_S:
            return
        try:
            async with asyncio.timeout(POLL_LIMIT_S):
                found = await self._read()
        except Exception as error:  # whatever it is, the other metrics are wanted
            log.warning("a metric cannot be read", error=repr(error))
            self._gauge.clear()
            return
        self._gauge.clear()
        for value, number in found.items():
            self._gauge.labels(value).set(number)
        self._read_at = time.monotonic()
