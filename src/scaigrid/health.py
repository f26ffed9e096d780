"""`/health` and `/health/ready`: for load balancers and supervisors, without a credential."""

from collections.abc import Awaitable, Callable
from typing import ClassVar, Literal

from pydantic import BaseModel

from scaigrid.errors import GridError, Kind, detail
from scaigrid.http.access import Public
from scaigrid.http.routes import Op, Routes, one

Faults = Callable[[], Awaitable[list[str]]]


class Health(BaseModel):
    """The process answers."""

    health: Literal["ok"] = "ok"


class NotReady(GridError):
    """The server runs but cannot serve now; `details` says why."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    code = "NOT_READY"


class HealthEndpoints:
    """Liveness and readiness."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes("/health", "health")
        routes.add("GET", "", self.get_health, access=Public(), answers=one(Health))
        routes.add(
            "GET",
            "/ready",
            self.get_readiness,
            access=Public(),
            answers=one(Health),
            errors=[NotReady],
        )
        return routes

    async def get_health(self, op: Op) -> Health:  # noqa: ARG002 - every endpoint has one
        """Tell that the process answers."""
        return Health()

    async def get_readiness(self, op: Op) -> Health:  # noqa: ARG002
        """Tell whether requests can be served: database and modules are up."""
        faults = await self._faults()
        if faults:
            raise NotReady(details=[detail("ready", fault) for fault in faults])
        return Health()
