"""The means of a real host: QEMU, control groups, mke2fs and the guest channel's socket.

`daemon` is handed them, and knows no more of them than `machines.host` says.
"""

import asyncio
import os

import structlog

from scaibunker.artifacts.manifest import load as load_artifacts
from scaibunker.worker import capacity, cgroups
from scaibunker.worker.disks.upper import make_growing, make_upper
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway.tally import Tally
from scaibunker.worker.guest.link import GuestLink
from scaibunker.worker.images.cache import ImageCache
from scaibunker.worker.machines.host import Host
from scaibunker.worker.network.assembly import open_networks
from scaibunker.worker.network.bridges.assembly import open_bridges
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.network.registries.current import Registries
from scaibunker.worker.remains.survey import tell_of_lost
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.snapshots.stores import store_of
from scaibunker.worker.vmm.qemu import probe
from scaibunker.worker.vmm.qemu.driver import QemuDriver

log = structlog.get_logger(__name__)


async def equip(settings: WorkerSettings, worker_id: str) -> Host:
    """This host. Raises WorkerFault if it cannot run machines."""
    if os.geteuid() != 0:
        raise WorkerFault("the worker needs root: namespaces, control groups, users per machine")
    kernel, initramfs = settings.kernel, settings.initramfs
    if kernel is None or initramfs is None:
        boot = load_artifacts().boot
        kernel, initramfs = kernel or boot.kernel, initramfs or boot.initramfs
    memory = settings.probe_cache or settings.data_dir / "acceleration.json"
    acceleration = await probe.choose(settings.acceleration, kernel, initramfs, memory)
    log.info("acceleration", kind=acceleration.kind, reason=acceleration.reason)
    groups, store = cgroups.detect(worker_id), store_of(settings)
    registries = Registries()
    if settings.network.enabled:
        registries = await Registries.open(settings.network.registry_file)
    images = ImageCache(settings.data_dir / "images")
    for path in settings.image_files:
        images.link(path)
    await asyncio.to_thread(tell_of_lost, settings)
    bridges, bridged = await open_bridges(settings, worker_id)
    peers, tally = Peers(settings.data_dir / "vicinity.json"), Tally()
    # The last: a gateway and rules that nobody would take away again if this host could not run machines.
    networks = await open_networks(settings, worker_id, registries, peers, bridged, tally)
    return Host(
        driver=QemuDriver(acceleration.kind),
        cgroups=groups,
        images=images,
        make_upper=make_upper,
        make_growing=make_growing,
        open_link=GuestLink,
        kernel=kernel,
        initramfs=initramfs,
        machines_dir=settings.data_dir / "machines",
        store=store,
        snapshots_dir=settings.data_dir / "snapshots",
        templates_dir=settings.data_dir / "templates",
        run_dir=settings.runtime_dir / worker_id,
        boot_timeout_s=settings.boot_timeout_s,
        spool_limit_bytes=settings.spool_limit_mb * 1024 * 1024,
        boots=asyncio.Semaphore(settings.concurrent_boots),
        wakes=asyncio.Semaphore(settings.concurrent_boots),
        reserve_bytes=capacity.reserve_bytes(settings),
        registries=registries,
        bridges=bridges,
        peers=peers,
        tally=tally,
        networks=networks,
    )
