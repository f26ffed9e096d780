"""`/metrics`, for Prometheus."""

from pydantic import SecretStr
from starlette.responses import Response

from scaigrid.http.access import Access, Public, Service
from scaigrid.http.routes import Answer, Op, Routes
from scaigrid.metrics.registry import Metrics

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class MetricsEndpoints:
    """The exposition. With a `token` it is for those alone that show it."""

    def __init__(self, metrics: Metrics, token: SecretStr | None) -> None:
        self._metrics = metrics
        self._access: Access = Service("metrics", token.get_secret_value()) if token else Public()

    def routes(self) -> Routes:
        """The declaration."""
        routes = Routes("/metrics", "health")
        routes.add(
            "GET",
            "",
            self.get_metrics,
            access=self._access,
            answers=Answer(
                200, {"text/plain": {"schema": {"type": "string"}}}, "Prometheus' text format."
            ),
        )
        return routes

    async def get_metrics(self, op: Op) -> Response:  # noqa: ARG002 - every endpoint has one
        """Show the metrics of this replica. `SCAIGRID_HTTP_METRICS_TOKEN` closes it to strangers."""
        return Response(await self._metrics.exposition(), headers={"Content-Type": TEXT})
