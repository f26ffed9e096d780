"""A machine's host side while it is being built, runs, or is taken down: what the steps work on."""

import asyncio
import contextlib
import time
from pathlib import Path

from scaibunker.wire.worker.machines import MachineSpec, MachineTimings
from scaibunker.wire.worker.templates import NicKind, machine_memory_mb, nic_of, vcpus_of
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.record import MachineRecord, StateFolder
from scaibunker.worker.network.port import MachineNetwork, Owner
from scaibunker.worker.snapshots.restoring import Restored
from scaibunker.worker.templates.shape import Shape
from scaibunker.worker.templates.slot import Slot
from scaibunker.worker.templates.warm import WarmStarts
from scaibunker.worker.vmm.console import Console
from scaibunker.worker.vmm.port import VmmHandle


class Body:
    """`vmm` and `agent` are there from their step on, `restored` if it is made of a snapshot, `slot` if of a template, `network` if it is not isolated. `vmm_ended` is set when the
    VMM's process ends, `saved` when this daemon has written the record down. Where `warm` is None it is booted: always,
    if its devices are its own."""

    def __init__(self, record: MachineRecord, host: Host, warm: WarmStarts | None = None) -> None:
        self.record = record
        self.host = host
        self.warm = warm if self.nic != "bridged" else None
        self.slot: Slot | None = None
        self.folder = StateFolder(host.machines_dir / record.spec.bunker_id)
        self.vmm: VmmHandle | None = None
        self.agent: GuestAgent | None = None
        self.console: Console | None = None
        self.restored: Restored | None = None
        self.network: MachineNetwork | None = None
        self._sent_bytes = 0
        self.vmm_ended = asyncio.Event()
        self.timings = MachineTimings()
        self.saved = False
        self._ordered_at = time.monotonic()

    @property
    def spec(self) -> MachineSpec:
        return self.record.spec

    @property
    def host_name(self) -> str:
        """What its control group and its folder of sockets are called."""
        return self.record.slot or self.spec.bunker_id

    @property
    def run_dir(self) -> Path:
        return self.host.run_dir / self.host_name

    @property
    def shape(self) -> Shape:
        """What a template would have to be of for this machine to be made of it."""
        return Shape(
            self.spec.image_sha256, self.spec.image_size, self.vcpus, self.memory_mb, self.nic
        )

    @property
    def nic(self) -> NicKind:
        """What network device it has."""
        order = self.spec.network
        return "none" if order is None else nic_of(order.profile)

    @property
    def owner(self) -> Owner:
        """Whose traffic its network carries."""
        return Owner(self.spec.bunker_id, self.spec.tenant_id)

    @property
    def macs(self) -> list[str]:
        """The addresses of its network devices."""
        return [i.mac for i in self.network.guest.interfaces] if self.network else []

    def egress_bytes(self) -> int:
        """What it has sent since it was built; what is known of it once its network is gone."""
        if self.network is not None:
            with contextlib.suppress(OSError, WorkerFault):
                self._sent_bytes = max(self._sent_bytes, self.network.egress_bytes())
        return self._sent_bytes

    @property
    def vcpus(self) -> int:
        return vcpus_of(self.spec.cpu_millicores)

    @property
    def memory_mb(self) -> int:
        return machine_memory_mb(self.spec.memory_mb)

    @property
    def goes_on(self) -> bool:
        """Whether it was restored with its memory, and waits to be another machine."""
        restored = self.restored is not None and self.restored.memory is not None
        return restored or self.slot is not None

    @property
    def start(self) -> str:
        """What it was made of, as `MachineStatus.start` says it."""
        if self.record.slot is not None:
            return "template"
        return "boot" if self.spec.snapshot is None else "snapshot"

    def begin_again(self) -> None:
        """What was made of a template is taken back; it is booted instead."""
        self.warm = self.slot = self.record.slot = None
        self.vmm_ended = asyncio.Event()
        self.timings = MachineTimings()

    def elapsed_ms(self) -> float:
        """Milliseconds since the order arrived."""
        return round((time.monotonic() - self._ordered_at) * 1000, 1)

    async def find_vmm(self) -> VmmHandle | None:
        """The VMM that we hold, else the one that was written down; None if it is gone or never was."""
        if self.vmm is None and self.record.process is not None:
            self.vmm = await self.host.driver.adopt(self.record.process, self.run_dir)
        return self.vmm

    def save(self) -> None:
        """Write the record down. Raises OSError; a crash leaves the old one or the new one."""
        self.folder.save(self.record)
        self.saved = True
