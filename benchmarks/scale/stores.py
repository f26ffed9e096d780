"""`python -m benchmarks.scale.stores`: what bunkers cost the stores: many lives through the product's own services, on MariaDB and Redis.

Each phase is done for all bunkers before the next begins, so that the stores' own counters say what it
cost: `create` (`bunkers.create`: quotas, place, rows), `start` (the reconciler's two moves to running, with
its reads), `end` (a caller's wish, and the reconciler's move), `heartbeat` (`workers.service`). HTTP and
requests to workers are left out; `benchmarks.fleet` measures heartbeats with HTTP.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import structlog
import uvloop
from sqlalchemy import Table, insert

from benchmarks import processes
from benchmarks.scale import tables, workload
from benchmarks.scale.fleet import Fleet, Worker
from benchmarks.scale.meter import CALLERS, Cost, Meter
from benchmarks.scale.organisation import Organisation, User
from benchmarks.scale.run import Options
from scaibunker.controller.bunkers import repository as bunkers
from scaibunker.controller.bunkers.create import Create
from scaibunker.controller.bunkers.domain import Bunker, Desired
from scaibunker.controller.bunkers.lifecycle import Event
from scaibunker.controller.bunkers.notify import Notifier
from scaibunker.controller.bunkers.reading import Reading
from scaibunker.controller.bunkers.states import States
from scaibunker.controller.images import repository as images
from scaibunker.controller.images.domain import SeedImage
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.permissions import Key
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.ledger import Ledger
from scaibunker.controller.quotas.recount import Recount
from scaibunker.controller.quotas.tables import quota_assignments, quota_profiles
from scaibunker.controller.scheduler.placement import Placement
from scaibunker.controller.scheduler.view import FleetView
from scaibunker.controller.settings import LimitSettings
from scaibunker.controller.usage.egress import Egress
from scaibunker.controller.workers.compatibility import Compatibility
from scaibunker.controller.workers.domain import Presence
from scaibunker.controller.workers.fleet import Fleet as Sightings
from scaibunker.controller.workers.service import Heartbeats
from scaibunker.wire.api.bunkers import BunkerCreate, LifecycleMode, NetworkProfile
from scaibunker.wire.worker import PROTOCOL_VERSION
from scaibunker.wire.worker import heartbeat as wire
from scaibunker.wire.worker.machines import MachineState, MachineStatus
from scaigrid.clock import SystemClock
from scaigrid.db import Database, Writer
from scaigrid.errors import GridError
from scaigrid.groups.tables import group_members, groups
from scaigrid.live.bus import Bus
from scaigrid.live.store import LiveStore
from scaigrid.metrics.registry import Metrics
from scaigrid.operation import Caller, Operation, system_operation
from scaigrid.settings import DatabaseSettings, RedisSettings
from scaigrid.tenancy.tables import tenants, users

OFFLINE_AFTER_S = 3600.0
"""Long: nobody beats while the bunkers are made."""
BEATS = 5000


async def sample(
    cycles: int, workers: int, mix: workload.Mix, expected: float, tenant_count: int, seed: int
) -> dict[str, Any]:
    """The lives of that many bunkers on a fleet of that size; figures by phase."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    fleet = Fleet(workers, seed)
    chance = random.Random(f"organisation {seed}")  # noqa: S311 - the same in every run
    organisation = Organisation(chance, tenant_count, expected)
    requests = list(islice(workload.day(mix, organisation, seed), cycles))
    with tempfile.TemporaryDirectory(prefix="scaibunker-scale-") as name:
        async with processes.stores(Path(name)) as stores:
            url = stores.environment["SCAIGRID_DATABASE_URL"]
            async with _controller(url, stores.redis_url) as parts:
                meter = Meter(parts.live, url, stores.pids)
                await _people(parts, organisation)
                return await _phases(parts, meter, fleet, requests)


class _Parts:
    """A controller without HTTP, and without workers that answer."""

    def __init__(self, database: Database, live: LiveStore) -> None:
        clock = self.clock = SystemClock()
        self.database, self.live = database, live
        metrics = ControllerMetrics(Metrics())
        self.bus = Bus(live)
        presence = Presence(OFFLINE_AFTER_S, clock.now())
        self.presence = presence
        self.view = FleetView(database, presence, clock, OFFLINE_AFTER_S)
        counters = Counters(live)
        recount = Recount(database, counters, metrics)
        ledger = Ledger(database, counters, recount, clock, metrics)
        placement = Placement(database, self.view, clock, "spread", metrics)
        notifier = Notifier(self.bus)
        self.states = States(database, notifier, ledger)
        reading = Reading(database, notifier)
        self.create = Create(
            database, reading, placement, ledger, LimitSettings(), None, lambda _: None
        )
        self.heartbeats = Heartbeats(
            database,
            Sightings(clock, OFFLINE_AFTER_S),
            presence,
            10.0,
            lambda _: None,
            _nothing_finished,
            Egress(database),
            Compatibility(database),
        )

    @property
    def op(self) -> Operation:
        """One of the platform's own operations."""
        return system_operation("scale", self.clock)


async def _nothing_finished(*_: object) -> list[str]:
    return []


@asynccontextmanager
async def _controller(url: str, redis_url: str) -> AsyncIterator[_Parts]:
    database = Database(
        DatabaseSettings(url=url, pool_size=CALLERS, write_pool_size=CALLERS, busy_timeout_s=60)
    )
    live = LiveStore(RedisSettings(url=redis_url, timeout_s=30))
    parts = _Parts(database, live)
    await parts.bus.start()
    try:
        yield parts
    finally:
        await parts.bus.stop()
        await live.close()
        await database.close()


async def _phases(
    parts: _Parts, meter: Meter, fleet: Fleet, requests: Sequence[workload.Request]
) -> dict[str, Any]:
    everybody = list(fleet.workers.values())
    made: list[Bunker] = []
    refused: dict[str, int] = {}
    costs: list[Cost] = []

    async def register(worker: Worker) -> None:
        await parts.heartbeats.take(parts.op, _beat(worker, []))

    async def create(request: workload.Request) -> None:
        parts.presence.listening(parts.clock.now())
        try:
            made.append(await parts.create(_as(parts, request.user), _body(request)))
        except GridError as error:
            refused[error.code.value] = refused.get(error.code.value, 0) + 1

    async def start(bunker: Bunker) -> None:
        for event in (Event.PLACED, Event.READY):
            known = await _read(parts, bunker.id)
            assert await parts.states.move(parts.op, known, event)

    async def beat(worker: Worker) -> None:
        await parts.heartbeats.take(parts.op, _beat(worker, on.get(worker.id, [])))

    async def finish(bunker: Bunker) -> None:
        async def wish(db: Writer) -> bool:
            return await bunkers.desire(
                parts.op, db, bunker.id, Desired.TERMINATED, "ended by its owner"
            )

        assert await parts.database.transaction(wish)
        known = await _read(parts, bunker.id)
        assert await parts.states.move(parts.op, known, Event.TERMINATED, known.desired_reason)

    costs.append(await meter.of("a new worker's first heartbeat", register, everybody))
    view = asyncio.create_task(parts.view.run())
    size_before = await meter.bytes()
    try:
        costs.append(await meter.of("create", create, requests))
        costs.append(await meter.of("start", start, made))
        on: dict[str, list[str]] = {}
        for bunker in made:
            on.setdefault(str(bunker.worker_id), []).append(bunker.id)
        beating = sorted(everybody, key=lambda w: -len(on.get(w.id, [])))[:BEATS]
        costs.append(await meter.of("heartbeat", beat, beating))
        size_living = await meter.bytes()
        costs.append(await meter.of("end", finish, made))
        size_after = await meter.bytes()
    finally:
        view.cancel()
        await asyncio.gather(view, return_exceptions=True)
    return {
        "costs": [asdict(each) for each in costs],
        "floors": await meter.floors(),
        "made": len(made),
        "refused": refused,
        "machines_per_beat": len(made) / len(beating),
        "bytes_per_bunker": (size_living - size_before) / max(1, len(made)),
        "bytes_per_ended_bunker": (size_after - size_before) / max(1, len(made)),
        "redis_keys_left": await meter.keys_left(),
    }


async def _read(parts: _Parts, bunker_id: str) -> Bunker:
    async with parts.database.read() as db:
        found = await bunkers.get(parts.op, db, bunker_id)
    assert found is not None
    return found


def _as(parts: _Parts, user: User) -> Operation:
    keys = frozenset(key.value for key in Key if not key.value.startswith("scaibunker:admin"))
    caller = Caller(user.id, user.tenant_id, user.id, "tenant_user", keys)
    return Operation(caller, "req_scale", parts.clock)


def _body(request: workload.Request) -> BunkerCreate:
    shape = request.shape
    # `transit` wants bridges, of which there are none here.
    isolated = request.network_profile == "isolated"
    return BunkerCreate(
        image=f"image-{workload.IMAGES.index(request.image)}",
        lifecycle_mode=LifecycleMode.PERSISTENT if request.persistent else LifecycleMode.EPHEMERAL,
        network_profile=NetworkProfile.ISOLATED if isolated else NetworkProfile.REGISTRY,
        cpu_millicores=shape.cpu_millicores,
        memory_mb=shape.memory_mb,
        disk_mb=shape.disk_mb,
        gpu_count=shape.gpu_count,
        gpu_type=shape.gpu_type,
    )


def _beat(worker: Worker, bunker_ids: Sequence[str]) -> wire.Heartbeat:
    total = worker.total
    return wire.Heartbeat(
        worker_id=worker.id,
        name=worker.id,
        address="http://127.0.0.1:9",
        protocol=PROTOCOL_VERSION,
        version="scale",
        acceleration="none",
        network_profiles=sorted(worker.network_profiles),
        capacity=wire.Capacity(
            cpu_millicores=total.cpu_millicores,
            memory_mb=total.memory_mb,
            disk_mb=total.disk_mb,
            gpus=dict(total.gpus),
        ),
        machines=[MachineStatus(bunker_id=each, state=MachineState.RUNNING) for each in bunker_ids],
        cached_images=sorted(worker.images),
    )


async def _people(parts: _Parts, organisation: Organisation) -> None:
    now = parts.clock.now()
    of_user = [
        {
            "id": u.id,
            "tenant_id": u.tenant_id,
            "name": u.id,
            "role": "tenant_user",
            "created_at": now,
        }
        for u in organisation.users
    ]
    of_groups = [{**_fields(g), "name": g.id, "created_at": now} for g in organisation.groups]
    memberships = [
        {"group_id": group_id, "user_id": u.id} for u in organisation.users for group_id in u.teams
    ]
    profiles = [{**asdict(each), "owner": each.tenant_id or ""} for each in organisation.profiles]
    tables: list[tuple[Table, list[dict[str, Any]]]] = [
        (tenants, [{"id": t, "name": t, "created_at": now} for t in organisation.tenants]),
        (users, of_user),
        (groups, of_groups),
        (group_members, memberships),
        (quota_profiles, profiles),
        (quota_assignments, [asdict(each) for each in organisation.assignments]),
    ]
    async with parts.database.write() as db:
        for table, rows in tables:
            for at in range(0, len(rows), 500):
                await db.execute(insert(table), rows[at : at + 500])
        for number, sha256 in enumerate(workload.IMAGES):
            await images.seed(parts.op, db, SeedImage(f"image-{number}", "1", sha256, 1 << 30))


def _fields(group: Any) -> dict[str, Any]:
    return {name: getattr(group, name) for name in ("id", "tenant_id", "parent_id")}


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Options()
    parser.add_argument("--json", type=Path, default=Path("build/scale-stores.json"))
    parser.add_argument("--lives", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=default.workers)
    given = parser.parse_args()
    mix = workload.Mix(default.bunkers, default.hours, default.persistent_share, default.gpu_share)
    cpu = Fleet(default.workers, default.seed).total().cpu_millicores
    mix, expected = workload.fitted(mix, cpu, default.fill)
    results = uvloop.run(
        sample(given.lives, given.workers, mix, expected, default.tenants, default.seed)
    )
    print(tables.costs(results))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {given.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
