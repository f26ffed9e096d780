"""The folders, the control group and the closed network of a machine that is nobody's bunker yet.

They are named after what it is for, never after a bunker; a daemon that finds any of an earlier one's
removes them (`recover`).
"""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.wire.worker.templates import nic_of
from scaibunker.worker.cgroups import Limits
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.size import BOOT_CPU_MILLICORES, VMM_CPU_MILLICORES, VMM_THREADS
from scaibunker.worker.network.port import MachineNetwork, Networks
from scaibunker.worker.templates.shape import Shape
from scaibunker.worker.vmm.nics import wired
from scaibunker.worker.vmm.port import GuestMemory, VmmConfig, VmmHandle

Purpose = Literal["tpl", "slot"]


@dataclass(eq=False)
class Stand:
    """`name` is that of the socket folder, the control group and the network, `uid` the VMM's user. `background`: nobody
    waits for it. `network` is there once it is laid, if its shape has one."""

    host: Host
    shape: Shape
    name: str
    uid: int
    background: bool = True
    network: MachineNetwork | None = field(default=None, init=False)

    @classmethod
    def fresh(
        cls, host: Host, shape: Shape, purpose: Purpose, uid: int, *, background: bool
    ) -> "Stand":
        return cls(host, shape, f"{purpose}_{secrets.token_hex(8)}", uid, background)

    @property
    def folder(self) -> Path:
        return slots_folder(self.host) / self.name

    @property
    def upper_disk(self) -> Path:
        return self.folder / "upper.ext4"

    @property
    def log(self) -> Path:
        return self.folder / "vmm.log"

    @property
    def run_dir(self) -> Path:
        return self.host.run_dir / self.name

    @property
    def macs(self) -> list[str]:
        """The addresses of its network devices."""
        return [i.mac for i in self.network.guest.interfaces] if self.network else []

    async def lay(self) -> None:
        """Make them. Raises OSError, WorkerFault."""
        self.folder.mkdir(mode=0o700, parents=True)
        self.run_dir.mkdir(mode=0o711, parents=True)
        overhead = self.host.driver.memory_overhead_mb
        self.host.cgroups.create(
            self.name,
            Limits(
                cpu_millicores=self.shape.vcpus * BOOT_CPU_MILLICORES + VMM_CPU_MILLICORES,
                memory_mb=self.shape.memory_mb + overhead,
                pids=VMM_THREADS,
                background=self.background,
            ),
        )
        if self.shape.nic == "routed":
            networks = self.host.networks
            self.network = await networks.take(self.name, None, _any_routed(networks))

    @contextlib.contextmanager
    def config(self, memory: GuestMemory, token_hex: str) -> Iterator[VmmConfig]:
        """For a VMM that is started in the block. Raises WorkerFault."""
        host, shape = self.host, self.shape
        bare = VmmConfig(
            machine_id=self.name,
            kernel=host.kernel,
            initramfs=host.initramfs,
            image=host.images.ensure(shape.image_sha256, shape.image_size),
            upper_disk=self.upper_disk,
            vcpus=shape.vcpus,
            memory_mb=shape.memory_mb,
            token_hex=token_hex,
            run_dir=self.run_dir,
            log=self.log,
            uid=self.uid,
            cgroup_procs=host.cgroups.procs(self.name),
            memory=memory,
        )
        with wired(bare, self.network) as config:
            yield config

    async def clear(self, vmm: VmmHandle | None) -> None:
        """Remove everything, whatever of it is there. Raises OSError, WorkerFault, TimeoutError if something
        cannot be."""
        try:
            if vmm is not None:
                await vmm.stop()
            self.host.cgroups.kill(self.name)
            self.host.cgroups.delete(self.name)
            if self.shape.nic == "routed":
                await self.host.networks.give_back(self.name)
                self.network = None
        finally:
            await asyncio.to_thread(self._remove_folders)

    def _remove_folders(self) -> None:
        for folder in (self.run_dir, self.folder):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)


def _any_routed(networks: Networks) -> NetworkOrder:
    """It stays closed, so that any profile does whose device is the same. Raises WorkerFault."""
    for profile in networks.profiles:
        if nic_of(profile) == "routed":
            return NetworkOrder(profile=NetworkProfile(profile))
    raise WorkerFault("this worker has no network to give")


def slots_folder(host: Host) -> Path:
    """Where the disks of such machines are."""
    return host.templates_dir / "slots"
