"""What of a simulated host outlives its daemon: VMM processes with their guests, control groups, disks.

A daemon holds it through handles of its own life. When that is over they do nothing any more, as if the
process that held them were gone.
"""

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path

from pydantic import BaseModel

from scaibunker.testing.bridges import SimulatedBridges
from scaibunker.testing.faults import Faults
from scaibunker.testing.guest import Guest
from scaibunker.testing.link import Channel, SimulatedLink
from scaibunker.testing.lives import Life
from scaibunker.testing.networks import SimulatedNetwork, SimulatedNetworks
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.bridges import BridgeSpec
from scaibunker.worker.cgroups import Limits
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.images.cache import ImageCache
from scaibunker.worker.machines.host import Host
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.settings import WorkerSettings
from scaibunker.worker.snapshots.store import SnapshotStore
from scaibunker.worker.snapshots.stores import store_of
from scaibunker.worker.vmm.port import Progress, VmmCapabilities, VmmConfig
from scaibunker.worker.vmm.process import ProcessId

BOOT_ID = "simulated"
PANICKED = "its VMM ended with status 1: the guest's kernel panicked"
POWER_CUT = "its VMM was killed by SIGKILL"


class SavedMachine(BaseModel):
    """What is written of a machine that is saved."""

    memory_mb: int
    token_hex: str
    files: dict[str, str | None]


class SimulatedVmm:
    """A VMM process and the machine in it."""

    def __init__(self, process: ProcessId, config: VmmConfig) -> None:
        self.process = process
        self.machine_id = config.machine_id
        self.run_dir = config.run_dir
        self.memory_mb = config.memory_mb
        self.ends_at_once = False
        """Whether it does not survive that it goes on."""
        self.disk_mb: int | None = None
        """What the writable disk has been resized to."""
        self.memory = config.memory
        self.channel = Channel(Guest(bytes.fromhex(config.token_hex)))
        self.outcome: str | None = None
        self._boot: asyncio.TimerHandle | None = None
        self._watchers: list[tuple[Life, Callable[[], None]]] = []

    @property
    def guest(self) -> Guest:
        return self.channel.guest

    @property
    def running(self) -> bool:
        return self.outcome is None

    def watch(self, life: Life, callback: Callable[[], None]) -> None:
        """Call back when it ends, if that life lasts until then."""
        if self.running:
            self._watchers.append((life, callback))
        else:
            asyncio.get_running_loop().call_soon(callback)

    def dump(self) -> bytes:
        """Its state, as a save writes it: the files and the token, no commands."""
        saved = SavedMachine(
            memory_mb=self.memory_mb,
            token_hex=self.guest.token.hex(),
            files=self.guest.files.dump(),
        )
        return saved.model_dump_json().encode()

    def load(self, state: bytes) -> None:
        """Go on, paused, as the machine that was saved. Raises WorkerFault."""
        try:
            saved = SavedMachine.model_validate_json(state)
        except ValueError:
            raise WorkerFault("the saved state cannot be read") from None
        if saved.memory_mb != self.memory_mb:
            raise WorkerFault("the saved machine has another size")
        self.guest.token = bytes.fromhex(saved.token_hex)
        self.guest.files.load(saved.files)
        self.guest.booted.set()
        self.guest.thawed.clear()

    def boots(self, after_s: float, done: Callable[[], None]) -> None:
        """Its boot is over in so many seconds, unless it ends before."""
        self._boot = asyncio.get_running_loop().call_later(after_s, done)

    def end(self, outcome: str) -> None:
        """The process ends, whatever the reason. Idempotent."""
        if not self.running:
            return
        self.outcome = outcome
        if self._boot is not None:
            self._boot.cancel()
        self.channel.hang_up()
        self.guest.vanish()
        for life, callback in self._watchers:
            if not life.over:
                callback()
        self._watchers.clear()


class Hardware:
    """One host's. `images` maps the SHA-256 of each that is there to its size in bytes; `boot_s` is
    how many seconds a machine takes to boot; `network_profiles` are those that it can give."""

    def __init__(
        self,
        faults: Faults,
        images: Mapping[str, int],
        boot_s: float,
        network_profiles: Sequence[str] = (NetworkProfile.ISOLATED,),
    ) -> None:
        self.boot_s = boot_s
        self.network_profiles = list(network_profiles)
        self.networks: dict[str, SimulatedNetwork] = {}
        self.bridges: dict[str, BridgeSpec] = {}
        self.addresses: list[str] = []
        """Those of its interfaces, beside loopback."""
        self.peers = Peers()
        """What its last daemon knows of other hosts."""
        self.agent_version = "1"
        """What is in its daemon's initramfs; to be changed between two of them."""
        self.store: SnapshotStore | None = None
        """Where its daemon keeps snapshots, if not where its settings say."""
        self.faults = faults
        self.groups: dict[str, Limits] = {}
        self._images = images
        self._vmms: dict[ProcessId, SimulatedVmm] = {}
        self._pids = itertools.count(1000)

    @property
    def running(self) -> dict[str, SimulatedVmm]:
        """What runs, by the machine's id."""
        return {vmm.machine_id: vmm for vmm in self._vmms.values()}

    def host(self, life: Life, settings: WorkerSettings, worker_id: str) -> Host:
        """It, as one daemon holds it."""
        images = settings.data_dir / "images"
        images.mkdir(parents=True, exist_ok=True)
        kernel, initramfs = settings.data_dir / "vmlinux", settings.data_dir / "initramfs"
        kernel.touch()
        initramfs.write_text(self.agent_version)
        for sha256, size in self._images.items():
            _sparse(images / f"{sha256}.ext4", size)

        async def make_upper(path: Path, disk_mb: int) -> None:
            life.check()
            _sparse(path, disk_mb * 1024 * 1024)

        def open_link(path: Path, token: bytes) -> SimulatedLink:
            vmm = next((v for v in self._vmms.values() if channel_path(v.run_dir) == path), None)
            return SimulatedLink(life, vmm.channel if vmm else None, token)

        self.peers = Peers(settings.data_dir / "vicinity.json")
        self.peers.own = lambda: [ip_network(address) for address in self.addresses]
        return Host(
            driver=SimulatedDriver(life, self),
            cgroups=SimulatedCgroups(life, self),
            images=ImageCache(images),
            make_upper=make_upper,
            make_growing=make_upper,
            open_link=open_link,
            kernel=kernel,
            initramfs=initramfs,
            machines_dir=settings.data_dir / "machines",
            store=self.store or store_of(settings),
            snapshots_dir=settings.data_dir / "snapshots",
            templates_dir=settings.data_dir / "templates",
            run_dir=settings.runtime_dir / worker_id,
            boot_timeout_s=settings.boot_timeout_s,
            spool_limit_bytes=settings.spool_limit_mb * 1024 * 1024,
            boots=asyncio.Semaphore(settings.concurrent_boots),
            wakes=asyncio.Semaphore(settings.concurrent_boots),
            networks=SimulatedNetworks(self.network_profiles, self.networks, life.check),
            bridges=SimulatedBridges(self.bridges, self._plugged, life.check),
            peers=self.peers,
        )

    def _plugged(self, bridge_id: str) -> int:
        orders = [network.order for network in self.networks.values()]
        return sum(i.bridge_id == bridge_id for order in orders for i in order.interfaces)

    def start(self, config: VmmConfig) -> SimulatedVmm:
        """Switch a machine on."""
        vmm = SimulatedVmm(ProcessId(next(self._pids), 1, BOOT_ID), config)
        self._vmms[vmm.process] = vmm
        match self.faults.boot:
            case None:
                vmm.boots(self.boot_s, vmm.guest.booted.set)
            case "panics":
                vmm.boots(self.boot_s, lambda: self.end(vmm, PANICKED))
            case "hangs":
                pass
        return vmm

    def restore(self, config: VmmConfig, state: bytes) -> SimulatedVmm:
        """Switch a machine on with what another one's memory was. Raises WorkerFault."""
        if self.faults.restore == "refused":
            raise WorkerFault("the saved state cannot be restored")
        vmm = SimulatedVmm(ProcessId(next(self._pids), 1, BOOT_ID), config)
        vmm.load(state)
        vmm.ends_at_once = self.faults.restore == "panics"
        self._vmms[vmm.process] = vmm
        return vmm

    def find(self, process: ProcessId) -> SimulatedVmm | None:
        return self._vmms.get(process)

    def end(self, vmm: SimulatedVmm, outcome: str) -> None:
        """A VMM ends."""
        self._vmms.pop(vmm.process, None)
        vmm.end(outcome)

    def lose(self) -> None:
        """Every VMM ends at once, as when the power fails."""
        for vmm in list(self._vmms.values()):
            self.end(vmm, POWER_CUT)


class SimulatedHandle:
    """`port.VmmHandle` of one life."""

    def __init__(self, life: Life, hardware: Hardware, vmm: SimulatedVmm) -> None:
        self._life = life
        self._hardware = hardware
        self._vmm = vmm

    @property
    def process(self) -> ProcessId:
        return self._vmm.process

    @property
    def channel_path(self) -> Path:
        return channel_path(self._vmm.run_dir)

    @property
    def console_path(self) -> Path:
        return self._vmm.run_dir / "console.sock"  # where nobody listens

    async def pause(self) -> None:
        self._life.check()
        self._vmm.guest.thawed.clear()

    async def resume(self) -> None:
        self._life.check()
        self._vmm.guest.thawed.set()
        if self._vmm.ends_at_once:
            self._hardware.end(self._vmm, PANICKED)

    async def is_paused(self) -> bool:
        self._life.check()
        return not self._vmm.guest.thawed.is_set()

    async def save(self, target: int, progress: Progress) -> None:
        self._life.check()
        if not await self.is_paused():
            raise WorkerFault("only a paused machine can be saved")
        state = self._vmm.dump()
        progress(0, len(state))
        written = 0
        while written < len(state):
            written += os.write(target, state[written:])
        progress(written, written)

    async def save_devices(self, target: int) -> None:
        """What a real machine has in its memory's file is in the devices' here."""
        if self._vmm.memory is None or not self._vmm.memory.shared:
            raise WorkerFault("the machine's memory is no shared file")
        await self.save(target, lambda _done, _all: None)

    async def resize_disk(self, size_mb: int) -> None:
        self._life.check()
        self._vmm.disk_mb = size_mb

    async def memory_taken_mb(self) -> int:
        return self._vmm.memory_mb

    async def abandon_save(self) -> None:
        self._life.check()

    async def stop(self) -> None:
        self._life.check()
        self._hardware.end(self._vmm, "it was stopped")

    def outcome(self) -> str:
        return self._vmm.outcome or "it runs"

    def on_exit(self, callback: Callable[[], None]) -> None:
        self._vmm.watch(self._life, callback)


class SimulatedDriver:
    """`port.VmmDriver` of one life."""

    acceleration = "simulated"
    memory_overhead_mb = 0
    capabilities = VmmCapabilities(memory_snapshot=True, templates=True)
    state_format = "simulated"

    def __init__(self, life: Life, hardware: Hardware) -> None:
        self._life = life
        self._hardware = hardware

    async def start(self, config: VmmConfig) -> SimulatedHandle:
        self._life.check()
        return SimulatedHandle(self._life, self._hardware, self._hardware.start(config))

    async def restore(self, config: VmmConfig, source: int, progress: Progress) -> SimulatedHandle:
        self._life.check()
        with os.fdopen(os.dup(source), "rb") as file:
            state = file.read()
        progress(len(state), len(state))
        return SimulatedHandle(self._life, self._hardware, self._hardware.restore(config, state))

    async def adopt(self, identity: ProcessId, run_dir: Path) -> SimulatedHandle | None:  # noqa: ARG002
        self._life.check()
        vmm = self._hardware.find(identity)
        return None if vmm is None else SimulatedHandle(self._life, self._hardware, vmm)


class SimulatedCgroups:
    """`port.Cgroups` of one life. A VMM is in the group of its machine's name."""

    version = "simulated"

    def __init__(self, life: Life, hardware: Hardware) -> None:
        self._life = life
        self._hardware = hardware

    def create(self, name: str, limits: Limits) -> None:
        self._life.check()
        self._hardware.groups[name] = limits

    def procs(self, name: str) -> tuple[Path, ...]:  # noqa: ARG002
        return ()

    def set_cpu(self, name: str, cpu_millicores: int) -> None:
        self._life.check()
        old = self._hardware.groups[name]
        self._hardware.groups[name] = Limits(cpu_millicores, old.memory_mb, old.pids)

    def kill(self, name: str) -> None:
        self._life.check()
        vmm = self._hardware.running.get(name)
        if vmm is not None:
            self._hardware.end(vmm, POWER_CUT)

    def delete(self, name: str) -> None:
        self._life.check()
        self._hardware.groups.pop(name, None)

    def names(self) -> set[str]:
        return set(self._hardware.groups)

    def close(self) -> None:
        """The hardware stays."""


def channel_path(run_dir: Path) -> Path:
    """Where a machine's guest channel is, or would be."""
    return run_dir / "agent.sock"


def _sparse(path: Path, size: int) -> None:
    """A file of that size that takes no space."""
    if not path.exists():
        path.touch(mode=0o600)
        os.truncate(path, size)
