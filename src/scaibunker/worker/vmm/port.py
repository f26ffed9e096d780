"""What the rest of the worker may ask of a virtual machine monitor, whichever it is.

A VMM is a process of its own that outlives the daemon; `VmmHandle` is what a daemon holds of it,
whether it started it or found it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scaibunker.worker.vmm.process import ProcessId


@dataclass(frozen=True, slots=True)
class VmmConfig:
    """One machine's hardware. Paths exist; `memory_mb` in MiB; `token_hex` opens the guest channel.

    `upper_disk` is attached writable, `image` read-only. `run_dir` gets the sockets, `log` what
    the VMM itself says. The VMM drops to `uid` before the guest runs and joins `cgroup_procs` first.
    """

    machine_id: str
    kernel: Path
    initramfs: Path
    image: Path
    upper_disk: Path
    vcpus: int
    memory_mb: int
    token_hex: str
    run_dir: Path
    log: Path
    uid: int
    cgroup_procs: tuple[Path, ...]


class VmmHandle(Protocol):
    """A VMM process that runs, or ran."""

    @property
    def process(self) -> ProcessId: ...

    @property
    def channel_path(self) -> Path:
        """The UNIX socket on which the guest agent's byte stream is."""
        ...

    @property
    def console_path(self) -> Path:
        """The UNIX socket on which the serial console is."""
        ...

    async def pause(self) -> None:
        """Freeze the vCPUs; memory is kept. Idempotent."""
        ...

    async def resume(self) -> None:
        """Let the vCPUs run again. Idempotent."""
        ...

    async def is_paused(self) -> bool: ...

    async def stop(self) -> None:
        """End the process and wait until it is gone. Idempotent."""
        ...

    def outcome(self) -> str:
        """How the process ended, in words for the machine's owner."""
        ...

    def on_exit(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as the process has ended."""
        ...


class VmmDriver(Protocol):
    """Starts and finds VMM processes."""

    @property
    def acceleration(self) -> str: ...

    @property
    def memory_overhead_mb(self) -> int:
        """MiB that the process may take beyond the guest's memory."""
        ...

    async def start(self, config: VmmConfig) -> VmmHandle:
        """Start the machine. Raises WorkerFault with what the VMM said; leaves nothing behind then."""
        ...

    async def adopt(self, identity: ProcessId, run_dir: Path) -> VmmHandle | None:
        """Take over a process that an earlier daemon started; None if it is gone."""
        ...
