"""`/heartbeat`, for workers, and `/workers`, for operators."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from scaibunker.controller.permissions import Key
from scaibunker.controller.workers import repository
from scaibunker.controller.workers.compatibility import Report
from scaibunker.controller.workers.domain import Presence, Worker
from scaibunker.controller.workers.errors import (
    ProtocolMismatch,
    WorkerIdTaken,
    WorkerNotFound,
)
from scaibunker.controller.workers.service import Heartbeats
from scaibunker.controller.workers.view import view
from scaibunker.wire.api import BASE_PATH
from scaibunker.wire.api import workers as wire
from scaibunker.wire.worker.heartbeat import HeartbeatAnswer
from scaigrid.db import Database, Writer
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
            errors=[ProtocolMismatch, WorkerIdTaken],
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
        for verb, endpoint in (("drain", self.drain_worker), ("resume", self.resume_worker)):
            routes.add(
                "POST",
                f"/workers/{{worker_id}}/{verb}",
                endpoint,
                access=operators,
                answers=one(wire.Worker),
                errors=[WorkerNotFound],
            )
        return routes

    async def post_heartbeat(self, op: Op, body: Report) -> Response:
        """Report as a worker. The answer is part of the worker protocol and has no envelope."""
        answer = await self._heartbeats.take(op, body)
        return Response(answer.model_dump_json(), media_type="application/json")

    async def list_workers(self, op: Op, page: Paged) -> Slice[wire.Worker]:
        """List the workers, the one that registered last first."""
        async with self._database.read() as db:
            found = await repository.listing(op, db, page)
        views = {each.id: each for each in await self._views(op, found.items)}
        return found.map(lambda worker: views[worker.id])

    async def get_worker(self, op: Op, worker_id: str) -> wire.Worker:
        """Read one worker: what it has, what is reserved and used of that, when it last reported,
        and whether it takes new bunkers."""
        async with self._database.read() as db:
            worker = await repository.get(op, db, worker_id)
        if worker is None:
            raise WorkerNotFound
        [shown] = await self._views(op, [worker])
        return shown

    async def drain_worker(
        self,
        op: Op,
        worker_id: str,
        passivate: Annotated[
            bool, Query(description="Passivate its persistent bunkers that are not bound to it.")
        ] = False,
        body: wire.WorkerDrain | None = None,
    ) -> wire.Worker:
        """Have a worker take no new bunkers; those that it has go on. With `passivate`, in the query or the
        body, its persistent bunkers are put to sleep, and wake up elsewhere when they are used; those in use
        get a minute to become quiet. Doing it twice changes nothing."""
        emptied = passivate or (body is not None and body.passivate)
        op.note(passivate=emptied)
        return await self._drain(op, worker_id, draining=True, emptied=emptied)

    async def resume_worker(self, op: Op, worker_id: str) -> wire.Worker:
        """Have a worker take new bunkers again. Doing it twice changes nothing."""
        return await self._drain(op, worker_id, draining=False)

    async def _drain(
        self, op: Operation, worker_id: str, *, draining: bool, emptied: bool = False
    ) -> wire.Worker:
        async def work(db: Writer) -> bool:
            return await repository.drain(op, db, worker_id, draining=draining, emptied=emptied)

        if not await self._database.transaction(work):
            raise WorkerNotFound
        return await self.get_worker(op, worker_id)

    async def _views(self, op: Operation, found: Sequence[Worker]) -> list[wire.Worker]:
        ids = [worker.id for worker in found]
        async with self._database.read() as db:
            gpus = await repository.gpus_held(op, db, ids)
            at_work = await repository.at_work(op, db, ids)
        now = op.now()
        return [
            view(
                worker,
                self._presence.status(worker, now),
                now,
                gpus.get(worker.id, {}),
                at_work.get(worker.id, {}),
                understood=self._presence.understands(worker.protocol),
            )
            for worker in found
        ]


def _bare(model: type[BaseModel]) -> Answer:
    """An answer without an envelope."""
    return Answer(200, {}, "Taken.", model)
