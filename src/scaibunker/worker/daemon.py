"""The worker daemon, put together: what is made, in which order it starts and stops.

Nothing here knows how a thing is done; follow the imports for that.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from scaibunker import __version__
from scaibunker.wire.bounds import WORKER_ID
from scaibunker.wire.worker import PROTOCOL_VERSION
from scaibunker.wire.worker.heartbeat import Heartbeat
from scaibunker.worker import capacity, recover, tls
from scaibunker.worker.api.app import build as build_api
from scaibunker.worker.equip import equip
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.fullness import promised, watch
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host, HostFactory
from scaibunker.worker.network.assembly import gateway_home
from scaibunker.worker.network.audit.uploading import upload
from scaibunker.worker.network.bridges.port import Bridges
from scaibunker.worker.remains import note, survey
from scaibunker.worker.remains.survey import Places
from scaibunker.worker.report import Reporter
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.snapshots.jobs import Snapshots
from scaibunker.worker.templates.warm import WarmLimits, WarmStarts
from scaibunker.worker.tracing import Tracing

log = structlog.get_logger(__name__)

WARM_SHARE = 0.08
"""Of the host's memory, for templates and prepared machines."""
UID_RANGES, UIDS_EACH = 1000, 1000
_WORKER_ID = re.compile(WORKER_ID, re.ASCII)
SHUTDOWN_TIMEOUT_S = 5.0
SETTLE_TIMEOUT_S = 3.0
"""Seconds that machines of an earlier daemon get to answer before the API opens."""


def _as_it_is(heartbeat: Heartbeat) -> Heartbeat:
    return heartbeat


@dataclass(frozen=True)
class Surroundings:
    """What the daemon stands in: the host, and what comes between it and the network.

    `gates` are asked first at each request of its API; `outgoing` has the last word on what a heartbeat
    says, and one that it raises on is not sent.
    """

    equip: HostFactory = equip
    gates: Sequence[Middleware] = ()
    outgoing: Callable[[Heartbeat], Heartbeat] = _as_it_is


class Daemon:
    """One per host and data folder. `run` returns when `stop` was called and everything is put away."""

    def __init__(self, settings: WorkerSettings, surroundings: Surroundings | None = None) -> None:
        self._settings = settings
        self._surroundings = surroundings or Surroundings()
        self._stop = asyncio.Event()
        self._reporter: Reporter | None = None
        self._tracing = Tracing(settings)
        self._serving = tls.serving(settings)
        self._asking = tls.asking(settings)

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Raises WorkerFault if this host cannot run machines."""
        settings = self._settings
        _check_address(settings)
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _only_one(settings.data_dir):
            worker_id = _worker_id(settings.data_dir)
            with _noted(settings, worker_id):
                host = await self._surroundings.equip(settings, worker_id)
                try:
                    await self._work(host, worker_id)
                finally:
                    await host.networks.close()

    async def _work(self, host: Host, worker_id: str) -> None:
        """Until `stop`."""
        warm = self._warm_starts(host)
        fleet = Fleet(host, _first_uid(self._settings.vmm_uid_base, worker_id), self._news, warm)
        recover.take_over(host, fleet)
        await recover.reclaim_networks(host, fleet)
        if warm is not None:
            warm.start(fleet.free_uid, fleet.building)
        await fleet.settle(SETTLE_TIMEOUT_S)
        snapshots = Snapshots(host.snapshots_dir, host.store, self._news, host.reserve_bytes)
        runner, address = await self._serve(fleet, snapshots, host.bridges, worker_id)
        reporting = self._start_reporting(fleet, snapshots, warm, host, worker_id, address)
        watching = [
            asyncio.create_task(watch(host.room, fleet), name="disk"),
            asyncio.create_task(self._watch_registries(host), name="registries"),
            asyncio.create_task(self._upload_flows(host, fleet, worker_id), name="flow records"),
        ]
        log.info("worker_ready", worker_id=worker_id, address=address)
        try:
            await self._stop.wait()
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            if warm is not None:
                await warm.close()
            await self._put_away(fleet, snapshots, host, runner, reporting)

    async def _watch_registries(self, host: Host) -> None:
        """Whoever follows the list gets another one when there is one."""
        changing: set[asyncio.Task[None]] = set()

        def changed() -> None:
            self._news()
            task = asyncio.create_task(host.networks.registries_changed())
            changing.add(task)
            task.add_done_callback(changing.discard)

        await host.registries.watch(changed)

    async def _upload_flows(self, host: Host, fleet: Fleet, worker_id: str) -> None:
        spools = gateway_home(self._settings, worker_id).spools
        networked = len(host.networks.profiles) > 1
        await upload(
            self._settings,
            spools,
            lambda: {machine.id for machine in fleet},
            networked=networked,
            tally=host.tally,
        )

    def _news(self) -> None:
        if self._reporter is not None:
            self._reporter.news()

    def _warm_starts(self, host: Host) -> WarmStarts | None:
        settings = self._settings
        if not (settings.warm_starts and host.driver.capabilities.templates):
            return None
        memory_mb = settings.warm_memory_mb
        if memory_mb is None:
            memory_mb = int(capacity.host_memory_mb() * WARM_SHARE)
        limits = WarmLimits(settings.warm_disk_mb, memory_mb, settings.warm_slots)
        return WarmStarts(host, limits, self._news)

    async def _serve(
        self, fleet: Fleet, snapshots: Snapshots, bridges: Bridges, worker_id: str
    ) -> tuple[web.AppRunner, str]:
        """Start the API; returns its runner and the URL to reach it at."""
        settings = self._settings
        app = build_api(
            fleet,
            snapshots,
            bridges,
            worker_id,
            settings.tokens,
            outer=self._surroundings.gates,
            inner=self._tracing.middlewares(),
        )
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S
        )
        await runner.setup()
        try:
            port = await _listen(runner, settings, self._serving)
        except BaseException:
            await runner.cleanup()
            raise
        scheme = "https" if self._serving else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return runner, settings.advertise_url or f"{scheme}://{host}:{port}"

    def _start_reporting(
        self,
        fleet: Fleet,
        snapshots: Snapshots,
        warm: WarmStarts | None,
        host: Host,
        worker_id: str,
        address: str,
    ) -> asyncio.Task[None] | None:
        settings = self._settings
        if settings.controller_url is None:
            return None
        total = capacity.measure(settings)
        overcommitted = settings.capacity_disk_mb is not None

        def compose() -> Heartbeat:
            for machine in fleet:
                machine.trim_log()
            report = Heartbeat(
                worker_id=worker_id,
                name=settings.name,
                address=address,
                protocol=PROTOCOL_VERSION,
                version=__version__,
                acceleration=host.driver.acceleration,
                network_profiles=list(host.networks.profiles),
                capacity=promised(total, host.room, fleet, overcommitted=overcommitted),
                machines=[machine.status() for machine in fleet],
                finished_execs=[e for machine in fleet for e in machine.spools.finished()],
                snapshots=snapshots.statuses(),
                cached_images=host.images.cached(),
                templates=warm.templates() if warm else [],
                registry_hosts=list(host.registries.hosts.patterns),
                default_bandwidth_mbit=settings.network.bandwidth_mbit,
                bridges=[bridge.bridge_id for bridge in host.bridges.all()],
                addresses=host.peers.reported(),
                vicinity=host.peers.digest,
                gateway=host.tally.report(),
            )
            return self._surroundings.outgoing(report)

        self._reporter = Reporter(
            settings.controller_url,
            settings.tokens[0],
            compose,
            settings.heartbeat_interval_s,
            peers=host.peers,
            answered=lambda beat: host.tally.told(beat.gateway) if beat.gateway else None,
            tls=self._asking,
        )
        return asyncio.create_task(self._reporter.run(fleet), name="heartbeats")

    async def _put_away(
        self,
        fleet: Fleet,
        snapshots: Snapshots,
        host: Host,
        runner: web.AppRunner,
        reporting: asyncio.Task[None] | None,
    ) -> None:
        await runner.cleanup()
        if reporting is not None:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
        await snapshots.close()
        if self._settings.stop_machines_on_exit:
            await fleet.destroy_all()
            await host.bridges.put_away()
        else:
            await fleet.let_go()
        await host.networks.close()
        await self._tracing.close()
        host.cgroups.close()
        for folder in (host.run_dir, host.run_dir.parent):
            with contextlib.suppress(OSError):  # something still lives in it
                folder.rmdir()


def _check_address(settings: WorkerSettings) -> None:
    if settings.advertise_url is None and settings.host in ("0.0.0.0", "::", ""):  # noqa: S104
        raise WorkerFault(
            "SCAIBUNKER_WORKER_ADVERTISE_URL must be set: nobody can reach "
            f"{settings.host or 'an empty address'}"
        )


async def _listen(
    runner: web.AppRunner, settings: WorkerSettings, serving: ssl.SSLContext | None
) -> int:
    """Listen on the port that is set; else on the one of the last start, so that a restart goes
    unnoticed, or on any free one."""
    memory = settings.data_dir / "port"
    last = memory.read_text() if memory.exists() else ""
    remembered = int(last) if last.isdigit() and int(last) < 65536 else 0
    for port in [settings.port] if settings.port else [remembered, 0]:
        try:
            await web.TCPSite(runner, settings.host, port, ssl_context=serving).start()
        except OSError as error:
            if port in (0, settings.port):
                raise WorkerFault(f"cannot listen on {settings.host}:{port}: {error}") from error
            continue
        break
    taken = int(runner.addresses[0][1])
    memory.write_text(str(taken))
    return taken


def _noted(settings: WorkerSettings, worker_id: str) -> AbstractContextManager[None]:
    """While something of this worker is on the host, it is written down there where its data folder is."""
    places = Places.of(settings)

    def is_needed() -> bool:
        return survey.leaves_something(places, worker_id)

    return note.kept(places.note(worker_id), settings.data_dir, is_needed)


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Two daemons on one folder would take each other's machines down."""
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkerFault(f"another worker daemon uses {data_dir}") from None
        yield


def _first_uid(base: int, worker_id: str) -> int:
    """Two daemons on one host give their machines different users."""
    return base + int(hashlib.sha256(worker_id.encode()).hexdigest(), 16) % UID_RANGES * UIDS_EACH


def _worker_id(data_dir: Path) -> str:
    """This worker's name for life; made at its first start."""
    path = data_dir / "worker-id"
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        with temporary.open("w") as file:
            file.write(f"wrk_{secrets.token_hex(8)}")
            file.flush()
            os.fsync(file.fileno())  # or a power cut leaves a name without what it names
        temporary.rename(path)
    worker_id = path.read_text().strip()
    if not _WORKER_ID.fullmatch(worker_id):
        # Control groups and users are derived from it: with none, all workers' would be meant.
        raise WorkerFault(f"{path} does not hold a worker's id; restore or remove it")
    return worker_id
