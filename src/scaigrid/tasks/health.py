"""`/health`, `/health/ready` and `/metrics` of a background worker, on a port of its own, if it is
given one. They say what those of the `http` mode say, which have the platform's operations around
them."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scaigrid.auth.bearer import check_service_token
from scaigrid.errors import ServiceTokenInvalid
from scaigrid.health.probe import Probe
from scaigrid.metrics.registry import Metrics
from scaigrid.metrics.routes import TEXT
from scaigrid.settings.base import variable
from scaigrid.settings.errors import SettingsError
from scaigrid.settings.tasks import TaskSettings


class HealthServer:
    """Answers supervisors; tells nothing of what the tasks do."""

    def __init__(
        self,
        settings: TaskSettings,
        probes: Sequence[Probe],
        metrics: Metrics,
        token: SecretStr | None,
    ) -> None:
        self._settings = settings
        self._probes = probes
        self._metrics = metrics
        self._token = token
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, if there is a port. Raises SettingsError if it cannot be had."""
        host, port = self._settings.health_host, self._settings.health_port
        if port is None:
            return
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            where = variable(TaskSettings, "health_port")
            raise SettingsError(f"{where}: cannot listen there: {error.strerror}") from None
        routes = [
            Route("/health", _alive),
            Route("/health/ready", self._ready),
            Route("/metrics", self._exposition),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listener]))

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)

    async def _ready(self, _: Request) -> JSONResponse:
        faulty = [probe.name for probe in self._probes if (await probe.finding()).faults]
        status = "error" if faulty else "ok"
        return JSONResponse({"status": status, "faulty": faulty}, 503 if faulty else 200)

    async def _exposition(self, request: Request) -> Response:
        if self._token is not None:
            try:
                check_service_token(
                    request.headers.get("authorization"), self._token.get_secret_value()
                )
            except ServiceTokenInvalid as refusal:
                return JSONResponse({"status": "error", "error": {"code": refusal.code}}, 401)
        return Response(await self._metrics.exposition(), headers={"Content-Type": TEXT})


class _Server(uvicorn.Server):
    """Leaves the signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _alive(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})
