"""Requests by the route that they took. A path is the caller's to choose, a route's template ours."""

from prometheus_client import Counter, Histogram
from starlette.types import Scope

from scaigrid.metrics.registry import Metrics

NO_ROUTE = "none"
"""For requests that no route takes."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Counts and times requests."""

    def __init__(self, metrics: Metrics) -> None:
        self._count = metrics.counter(
            "http_requests",
            "Requests that ended; `status` is none if the caller left before the answer began.",
            ["route", "method", "status"],
        )
        self._seconds = metrics.histogram(
            "http_request_duration_seconds",
            "From a request's head to the end of its answer; streams are as long as they are.",
            ["route", "method"],
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._in_flight = metrics.gauge("http_requests_in_flight", "Requests being served now.")

    def begin(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def end(self, scope: Scope, status: int, seconds: float) -> None:
        """It is over."""
        self._in_flight.dec()
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        count, taken = self._of(route, method, status)
        count.inc()
        taken.observe(seconds)

    def _of(self, route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        """Templates, methods and statuses are few: found once, they are kept."""
        key = (route, method, status)
        found = self._known.get(key)
        if found is None:
            count = self._count.labels(route, method, status or "none")
            found = self._known[key] = (count, self._seconds.labels(route, method))
        return found
