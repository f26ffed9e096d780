"""What every machine of this worker shares: the host's means, handed in once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from scaibunker.worker.cgroups import Cgroups
from scaibunker.worker.disks.upper import MakeUpper
from scaibunker.worker.gateway.tally import Tally
from scaibunker.worker.guest.port import OpenLink
from scaibunker.worker.images.cache import ImageCache
from scaibunker.worker.network.bridges.none import NoBridges
from scaibunker.worker.network.bridges.port import Bridges
from scaibunker.worker.network.none import NoNetworks
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.network.port import Networks
from scaibunker.worker.network.registries.current import Registries
from scaibunker.worker.room import Room
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.snapshots.store import SnapshotStore
from scaibunker.worker.vmm.port import VmmDriver


@dataclass(frozen=True)
class Host:
    """`machines_dir` holds the state folders, `run_dir` the sockets, `snapshots_dir` what is on its way to
    the `store`, `templates_dir` what machines are made of without a boot. `boots` bounds how many machines boot
    at once, `wakes` how many wake beside them. `reserve_bytes` of the disk are left to the machines that run. `networks` that can give none leave
    `isolated` machines alone; `registries` is what the profile `registry` permits, `peers` are addresses of
    the deployment's hosts, which no machine may reach, `tally` is what the gateway has done."""

    driver: VmmDriver
    cgroups: Cgroups
    images: ImageCache
    store: SnapshotStore
    make_upper: MakeUpper
    make_growing: MakeUpper
    open_link: OpenLink
    kernel: Path
    initramfs: Path
    machines_dir: Path
    run_dir: Path
    snapshots_dir: Path
    templates_dir: Path
    boot_timeout_s: float
    spool_limit_bytes: int
    boots: asyncio.Semaphore
    wakes: asyncio.Semaphore
    reserve_bytes: int = 0
    networks: Networks = field(default_factory=NoNetworks)
    bridges: Bridges = field(default_factory=NoBridges)
    registries: Registries = field(default_factory=Registries)
    peers: Peers = field(default_factory=Peers)
    tally: Tally = field(default_factory=Tally)

    @property
    def room(self) -> Room:
        """For new machines."""
        return Room(self.machines_dir, self.reserve_bytes)


HostFactory = Callable[[WorkerSettings, str], Awaitable[Host]]
"""Of the settings and the worker's id. Raises WorkerFault if this host cannot run machines."""
