"""The module, put together: the one place that knows every part of the controller."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from scaibunker.controller.bridges.create import CreateBridge
from scaibunker.controller.bridges.reading import BridgeReading
from scaibunker.controller.bridges.reconcile import BridgeReconciler
from scaibunker.controller.bridges.remove import Remove, TakeDown
from scaibunker.controller.bridges.routes import BridgeEndpoints
from scaibunker.controller.bunkers.activity import Activity
from scaibunker.controller.bunkers.change import Changes
from scaibunker.controller.bunkers.create import Create
from scaibunker.controller.bunkers.notify import Notifier
from scaibunker.controller.bunkers.reading import Reading
from scaibunker.controller.bunkers.reconcile import Reconciler
from scaibunker.controller.bunkers.routes import BunkerEndpoints
from scaibunker.controller.bunkers.states import States
from scaibunker.controller.egress.batches import Batches
from scaibunker.controller.egress.routes import EgressEndpoints
from scaibunker.controller.images.routes import ImageEndpoints
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.objects import grants
from scaibunker.controller.objects.capabilities import CapabilityEndpoints
from scaibunker.controller.objects.proxy import STANDALONE
from scaibunker.controller.objects.routes import StorageEndpoints
from scaibunker.controller.objects.store import open_store
from scaibunker.controller.objects.transfer import Objects
from scaibunker.controller.passivation.awake import Awake
from scaibunker.controller.passivation.sleep import Sleep
from scaibunker.controller.passivation.wake import Wake
from scaibunker.controller.permissions import DECLARED
from scaibunker.controller.quotas.counters import Counters
from scaibunker.controller.quotas.domain import platform_maximum
from scaibunker.controller.quotas.drift import Drift
from scaibunker.controller.quotas.ledger import Ledger
from scaibunker.controller.quotas.recount import Recount
from scaibunker.controller.quotas.routes import QuotaEndpoints
from scaibunker.controller.quotas.service import Profiles
from scaibunker.controller.quotas.usage import Usage
from scaibunker.controller.relay.command import Relay
from scaibunker.controller.relay.exec_log import ExecLog
from scaibunker.controller.relay.exec_routes import ExecEndpoints
from scaibunker.controller.relay.file_log import FileLog
from scaibunker.controller.relay.file_routes import FileEndpoints
from scaibunker.controller.relay.files import Files
from scaibunker.controller.relay.keeper import Keeper
from scaibunker.controller.scheduler.placement import Placement
from scaibunker.controller.scheduler.view import FleetView
from scaibunker.controller.settings import (
    LimitSettings,
    ReconcileSettings,
    RelaySettings,
    SnapshotSettings,
    StorageSettings,
    WorkerSettings,
)
from scaibunker.controller.snapshots.cleanup import Cleanup
from scaibunker.controller.snapshots.delete import DeleteSnapshot
from scaibunker.controller.snapshots.ending import EndWithSnapshot
from scaibunker.controller.snapshots.reading import SnapshotReading
from scaibunker.controller.snapshots.reconcile import SnapshotReconciler
from scaibunker.controller.snapshots.remains import Remains
from scaibunker.controller.snapshots.routes import SnapshotEndpoints
from scaibunker.controller.snapshots.sightings import Sightings
from scaibunker.controller.snapshots.stored import StoredSnapshots
from scaibunker.controller.snapshots.take import Take
from scaibunker.controller.tasks import RECONCILE, SNAPSHOTS, BackgroundTasks
from scaibunker.controller.usage.egress import Egress
from scaibunker.controller.workers.client import WorkerClient
from scaibunker.controller.workers.compatibility import Compatibility
from scaibunker.controller.workers.domain import Presence
from scaibunker.controller.workers.fleet import Fleet
from scaibunker.controller.workers.gateways import Gateways
from scaibunker.controller.workers.identity import Identity
from scaibunker.controller.workers.listener import Listener
from scaibunker.controller.workers.replicas import Replicas
from scaibunker.controller.workers.routes import WorkerEndpoints
from scaibunker.controller.workers.service import Heartbeats
from scaibunker.controller.workers.vicinity import Vicinity
from scaibunker.wire.worker.protocol import SPOKEN, Versions
from scaigrid.db.batch import BatchWriter
from scaigrid.http.routes import Routes
from scaigrid.loops import end, forever
from scaigrid.module import Module, Platform
from scaigrid.settings import read_section

COUNT_S = 5.0


class Controller:
    """The module at work."""

    def __init__(
        self,
        platform: Platform,
        *,
        limits: LimitSettings,
        workers: WorkerSettings,
        reconcile: ReconcileSettings,
        relay: RelaySettings,
        snapshots: SnapshotSettings,
        storage: StorageSettings,
        spoken: Versions = SPOKEN,
    ) -> None:
        database, clock = platform.database, platform.clock
        self._writer = BatchWriter(database)
        self._activity = Activity(self._writer, clock)
        self._client = WorkerClient(workers, spoken)
        notifier = Notifier(platform.bus)
        fleet = Fleet(clock, workers.offline_after_s)
        presence = Presence(workers.offline_after_s, clock.now(), spoken)
        metrics = ControllerMetrics(platform.metrics)
        metrics.watch(database, presence, clock)
        vicinity = Vicinity(workers.never_reached)
        self._replicas = Replicas(database, clock, vicinity)
        self._view = FleetView(database, presence, clock, workers.offline_after_s, vicinity)
        counters = Counters(platform.live)
        recount = Recount(database, counters, metrics)
        ledger = Ledger(database, counters, recount, clock, metrics)
        placement = Placement(database, self._view, clock, workers.scheduler_strategy, metrics)

        def hint_snapshot(snapshot_id: str) -> None:
            self.snapshots.hint(snapshot_id)

        states = States(database, notifier, ledger, hint_snapshot)
        maximum = platform_maximum(
            limits.platform_max_concurrent_bunkers, limits.platform_max_persistent_bunkers
        )

        self.reconciler = Reconciler(
            database,
            clock,
            reconcile,
            sleep=Sleep(database, states, ledger, self._client, reconcile, metrics, hint_snapshot),
            wake=Wake(
                database,
                states,
                ledger,
                placement,
                self._client,
                reconcile,
                maximum,
                metrics,
                hint_snapshot,
            ),
            states=states,
            activity=self._activity,
            placement=placement,
            presence=presence,
            fleet=fleet,
            client=self._client,
            metrics=metrics,
        )
        hint = self.reconciler.hint
        reading = Reading(database, notifier)
        awake = Awake(database, notifier, self._activity, reconcile, hint)
        changes = Changes(
            database, reading, self._activity, ledger, hint, reconcile.terminate_wait_s, awake
        )
        create = Create(database, reading, placement, ledger, limits, maximum, hint)
        store = open_store(storage)
        stored = StoredSnapshots(store)
        remains = Remains(database, stored)
        self.snapshots = SnapshotReconciler(
            database,
            clock,
            reconcile,
            snapshots,
            sightings=Sightings(clock),
            presence=presence,
            client=self._client,
            stored=stored,
            remains=remains,
            metrics=metrics,
            hint_bunker=hint,
        )
        take_down = TakeDown(database, self._client, presence)
        self.bridges = BridgeReconciler(
            database,
            clock,
            reconcile.reconcile_interval_s,
            reconcile.reconcile_concurrency,
            presence=presence,
            client=self._client,
            take_down=take_down,
            good_for_s=workers.offline_after_s,
        )
        delete_snapshot = DeleteSnapshot(database, self.snapshots.hint)
        take = Take(database, states, self._activity, snapshots, self.snapshots.hint)
        end_with_snapshot = EndWithSnapshot(
            database, reading, take, ledger, snapshots, reconcile.terminate_wait_s, hint
        )
        signer = grants.signer(storage, workers.tokens)
        self._log = ExecLog(database, self._writer, self._activity, metrics)
        relaying = Relay(database, self._client, self._log, self._activity, store, relay, awake)
        self._keeper = Keeper(relaying, clock)
        heartbeats = Heartbeats(
            database,
            fleet,
            presence,
            workers.worker_heartbeat_interval_s,
            hint,
            self._keeper.finished,
            Egress(database),
            Compatibility(database, spoken),
            Identity(database, presence, self._client.worker_id),
            self.snapshots.heard,
            self.bridges.heard,
            vicinity=vicinity,
            gateways=Gateways(platform.metrics, workers.offline_after_s).take,
            require_https=workers.worker_require_https,
        )
        self._routes = [
            BunkerEndpoints(
                create, reading, changes, end_with_snapshot, self._activity, platform.stopping
            ).routes(),
            SnapshotEndpoints(take, SnapshotReading(database), delete_snapshot).routes(),
            BridgeEndpoints(
                CreateBridge(database, self._client),
                BridgeReading(database),
                Remove(database, take_down, self.bridges.hint),
            ).routes(),
            ExecEndpoints(relaying, platform.stopping).routes(),
            FileEndpoints(Files(relaying, FileLog(self._writer))).routes(),
            ImageEndpoints(database).routes(),
            CapabilityEndpoints(signer, storage).routes(),
            StorageEndpoints(
                Objects(store, storage, platform.metrics), grants.access(signer, workers.tokens)
            ).routes(),
            EgressEndpoints(reading, Batches(store), storage.storage_idle_timeout_s).routes(),
            *QuotaEndpoints(Profiles(database), Usage(database, counters, maximum)).routes(),
            WorkerEndpoints(database, heartbeats, presence, workers.tokens).routes(),
        ]
        self.tasks = BackgroundTasks(
            database,
            platform.bus,
            metrics,
            workers.offline_after_s,
            Drift(database, counters, recount, metrics),
            Cleanup(database, remains, stored, snapshots, self.hint_snapshot),
        ).declared()
        self._bus = platform.bus
        self._listener = Listener(database, clock, presence, workers.offline_after_s)
        self._loops: list[asyncio.Task[None]] = []

    @property
    def routes(self) -> Sequence[Routes]:
        """The module's operations."""
        return self._routes

    def hint_snapshot(self, snapshot_id: str) -> None:
        """Have every replica look at a snapshot."""
        self._bus.publish(SNAPSHOTS, snapshot_id)

    async def start(self) -> None:
        """Start the loops."""
        self._bus.subscribe(RECONCILE, self.reconciler.hint)
        self._bus.subscribe(SNAPSHOTS, self.snapshots.hint)
        await self._client.start()
        self._writer.start()
        loops: dict[str, Coroutine[Any, Any, None]] = {
            "reconciler": self.reconciler.run(),
            "snapshots": self.snapshots.run(),
            "bridges": self.bridges.run(),
            "activity": self._activity.run(),
            "listener": self._listener.run(),
            "fleet view": self._view.run(),
            "replicas": self._replicas.run(),
            "detached": self._count_detached(),
        }
        self._loops = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]

    async def stop(self) -> None:
        """Stop the loops and write what is left."""
        await end(self._loops)
        await self.reconciler.close()
        await self.snapshots.close()
        await self.bridges.close()
        await self._keeper.close()
        self._activity.flush()
        await self._writer.stop()
        await self._client.stop()

    async def faults(self) -> list[str]:
        """A loop that has ended is one."""
        return [f"{t.get_name()} has ended" for t in self._loops if t.done()]

    async def _count_detached(self) -> None:
        await forever("detached", self._log.count_detached, COUNT_S)


def _assemble(platform: Platform) -> Controller:
    return Controller(
        platform,
        limits=read_section(LimitSettings),
        workers=read_section(WorkerSettings),
        reconcile=read_section(ReconcileSettings),
        relay=read_section(RelaySettings),
        snapshots=read_section(SnapshotSettings),
        storage=read_section(StorageSettings),
    )


MODULE = Module(
    id="scaibunker",
    title="ScaiBunker",
    permissions=DECLARED,
    migrations=Path(__file__).parent / "migrations" / "versions",
    settings=(
        LimitSettings,
        WorkerSettings,
        ReconcileSettings,
        RelaySettings,
        SnapshotSettings,
        StorageSettings,
    ),
    assemble=_assemble,
    resource="bunker",
    standalone=(STANDALONE,),
)
"""Found by ScaiGrid through the entry point of the group `scaigrid.modules`."""
