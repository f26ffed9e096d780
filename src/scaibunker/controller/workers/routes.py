"""`/heartbeat`, for workers, and `/workers`, for operators."""

from pydantic import BaseModel
from starlette.responses import Response

from scaibunker.controller.permissions import Key
from scaibunker.controller.workers import repository
from scaibunker.controller.workers.domain import Presence, Used, Worker
from scaibunker.controller.workers.errors import WorkerNotFound
from scaibunker.controller.workers.service import Heartbeats
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import workers as wire
from scaibunker.wire.worker.heartbeat import Heartbeat, HeartbeatAnswer
from scaigrid.db import Database
from scaigrid.http.access import Needs, Service
from scaigrid.http.paging import Paged, Slice
from scaigrid.http.resources import Reach, Resource
from scaigrid.http.routes import Answer, Op, Routes, many, one
from scaigrid.operation import Operation

WORKER = Resource("worker_id", Reach.ALL, WorkerNotFound)
MAX_HEARTBEAT = 16 * 1024 * 1024


class WorkerEndpoints:
    """Workers reporting, and operators looking at them."""

    def __init__(
        self,
        database: Database,
        heartbeats: Heartbeats,
        presence: Presence,
        tokens: tuple[str, ...],
    ) -> None:
        self._database = database
        self._heartbeats = heartbeats
        self._presence = presence
        self._tokens = tokens

    def routes(self) -> Routes:
        """The declarations."""
        routes = Routes(BASE_PATH, "workers", WORKER)
        operators = Needs(Key.ADMIN, Key.ADMIN_PLATFORM)
        routes.add(
            "POST",
            "/heartbeat",
            self.post_heartbeat,
            access=Service("worker", *self._tokens),
            answers=_bare(HeartbeatAnswer),
            body_limit=MAX_HEARTBEAT,
            audited=False,
        )
        routes.add(
            "GET", "/workers", self.list_workers, access=operators, answers=many(wire.Worker)
        )
        routes.add(
            "GET",
            "/workers/{worker_id}",
            self.get_worker,
            access=operators,
            answers=one(wire.Worker),
            errors=[WorkerNotFound],
        )
        return routes

    async def post_heartbeat(self, op: Op, body: Heartbeat) -> Response:
        """Report as a worker. The answer is part of the worker protocol and has no envelope."""
        answer = await self._heartbeats.take(op, body)
        return Response(answer.model_dump_json(), media_type="application/json")

    async def list_workers(self, op: Op, page: Paged) -> Slice[wire.Worker]:
        """List the workers, the one that registered last first."""
        async with self._database.read() as db:
            found = await repository.listing(op, db, page)
            used = await repository.usage(op, db)
        return found.map(lambda worker: self._view(op, worker, used))

    async def get_worker(self, op: Op, worker_id: str) -> wire.Worker:
        """Read one worker."""
        async with self._database.read() as db:
            worker = await repository.get(op, db, worker_id)
            used = await repository.usage(op, db)
        if worker is None:
            raise WorkerNotFound
        return self._view(op, worker, used)

    def _view(self, op: Operation, worker: Worker, usage: dict[str, Used]) -> wire.Worker:
        now = op.now()
        used = usage.get(worker.id, Used())
        total = worker.capacity
        return wire.Worker(
            id=worker.id,
            name=worker.name,
            status=self._presence.status(worker, now).value,
            version=worker.version,
            acceleration=worker.acceleration,
            network_profiles=list(worker.network_profiles),
            total=wire.Amounts(
                cpu_millicores=total.cpu_millicores,
                memory_mb=total.memory_mb,
                disk_mb=total.disk_mb,
            ),
            used=wire.Amounts(
                cpu_millicores=used.cpu_millicores,
                memory_mb=used.memory_mb,
                disk_mb=used.disk_mb,
            ),
            bunkers=used.bunkers,
            last_heartbeat_at=worker.last_heartbeat_at,
            heartbeat_age_s=max(0.0, (now - worker.last_heartbeat_at).total_seconds()),
        )


def _bare(model: type[BaseModel]) -> Answer:
    """An answer without an envelope."""
    return Answer(200, {}, "Taken.", model)
