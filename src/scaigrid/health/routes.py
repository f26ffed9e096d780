"""`/health` and `/health/ready`, for load balancers and supervisors, without a credential; and
`/health/detailed`, for operators."""

import asyncio
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import BaseModel

from scaigrid.errors import GridError, Kind, detail
from scaigrid.health.probe import Finding, Probe
from scaigrid.http.access import SUPER_ADMINS, Public
from scaigrid.http.routes import Op, Routes, one
from scaigrid.version import VERSION


class Health(BaseModel):
    """The process answers."""

    health: Literal["ok"] = "ok"


class Condition(StrEnum):
    """How well something is."""

    OK = "ok"
    DEGRADED = "degraded"  # it serves, but not all of it or not as fast
    DOWN = "down"  # it cannot serve


class ComponentHealth(BaseModel):
    """One part of this replica. `latency_ms` is how long it took to find out, null if that hangs."""

    name: str
    health: Condition
    latency_ms: float | None
    faults: list[str]


class DetailedHealth(BaseModel):
    """One replica and its parts."""

    health: Condition
    version: str
    uptime_s: float
    components: list[ComponentHealth]


class NotReady(GridError):
    """The server runs but cannot serve now; `details` says why."""

    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    code = "NOT_READY"


class HealthEndpoints:
    """Liveness, readiness, and the state of every part."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self._started = time.monotonic()

    def routes(self, *, detailed: bool = True) -> Routes:
        """The declarations; `detailed` health is for persons, whom not every process knows."""
        routes = Routes("/health", "health")
        routes.add("GET", "", self.get_health, access=Public(), answers=one(Health))
        routes.add("GET", "/live", self.get_liveness, access=Public(), answers=one(Health))
        routes.add(
            "GET",
            "/ready",
            self.get_readiness,
            access=Public(),
            answers=one(Health),
            errors=[NotReady],
        )
        if detailed:
            routes.add(
                "GET",
                "/detailed",
                self.get_detailed_health,
                access=SUPER_ADMINS,
                answers=one(DetailedHealth, description="The parts, whatever their health."),
            )
        return routes

    async def get_health(self, op: Op) -> Health:  # noqa: ARG002 - every endpoint has one
        """Tell that the process answers."""
        return Health()

    async def get_liveness(self, op: Op) -> Health:  # noqa: ARG002
        """Tell that the process answers, under the name that supervisors like."""
        return Health()

    async def get_readiness(self, op: Op) -> Health:  # noqa: ARG002
        """Tell whether requests can be served: all that they need is up."""
        needed = [probe for probe in self._probes if probe.needed]
        findings = await _all(needed)
        # Strangers hear which part it is and no more: what is wrong with it is the operators'.
        faulty = [probe.name for probe, found in zip(needed, findings, strict=True) if found.faults]
        if faulty:
            raise NotReady(details=[detail(name, f"the {name} is not ready") for name in faulty])
        return Health()

    async def get_detailed_health(self, op: Op) -> DetailedHealth:  # noqa: ARG002
        """Tell the state of every part of this replica."""
        findings = await _all(self._probes)
        parts = [_part(*each) for each in zip(self._probes, findings, strict=True)]
        order = list(Condition)
        return DetailedHealth(
            health=max((part.health for part in parts), key=order.index, default=Condition.OK),
            version=VERSION,
            uptime_s=round(time.monotonic() - self._started, 1),
            components=parts,
        )


async def _all(probes: Sequence[Probe]) -> list[Finding]:
    return await asyncio.gather(*(probe.finding() for probe in probes))


def _part(probe: Probe, found: Finding) -> ComponentHealth:
    condition = Condition.OK
    if found.faults:
        condition = Condition.DOWN if probe.needed else Condition.DEGRADED
    seconds = found.seconds
    return ComponentHealth(
        name=probe.name,
        health=condition,
        latency_ms=None if seconds is None else round(seconds * 1000, 2),
        faults=list(found.faults),
    )
