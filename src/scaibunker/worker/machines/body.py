"""A machine's host side while it is being built, runs, or is taken down: what the steps work on."""

import asyncio
import time
from pathlib import Path

from scaibunker.wire.worker.machines import MachineSpec, MachineTimings
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.record import MachineRecord, StateFolder
from scaibunker.worker.vmm.console import Console
from scaibunker.worker.vmm.port import VmmHandle

SMALLEST_MACHINE_MB = 104
"""MiB. The kernel takes about 38 for itself and does not start on less than 96 in all: a bunker of 64
gets a machine in which its programs have their 64."""


class Body:
    """`vmm` and `agent` are there from their step on. `vmm_ended` is set when the VMM's process ends."""

    def __init__(self, record: MachineRecord, host: Host) -> None:
        self.record = record
        self.host = host
        self.folder = StateFolder(host.machines_dir / record.spec.bunker_id)
        self.vmm: VmmHandle | None = None
        self.agent: GuestAgent | None = None
        self.console: Console | None = None
        self.vmm_ended = asyncio.Event()
        self.timings = MachineTimings()
        self._ordered_at = time.monotonic()

    @property
    def spec(self) -> MachineSpec:
        return self.record.spec

    @property
    def run_dir(self) -> Path:
        return self.host.run_dir / self.spec.bunker_id

    @property
    def vcpus(self) -> int:
        return -(-self.spec.cpu_millicores // 1000)

    @property
    def memory_mb(self) -> int:
        """MiB of the machine: what the bunker was promised, or what its kernel needs to start."""
        return max(self.spec.memory_mb, SMALLEST_MACHINE_MB)

    def elapsed_ms(self) -> float:
        """Milliseconds since the order arrived."""
        return round((time.monotonic() - self._ordered_at) * 1000, 1)

    async def find_vmm(self) -> VmmHandle | None:
        """The VMM that we hold, else the one that was written down; None if it is gone or never was."""
        if self.vmm is None and self.record.process is not None:
            self.vmm = await self.host.driver.adopt(self.record.process, self.run_dir)
        return self.vmm

    def save(self) -> None:
        self.folder.save(self.record)
