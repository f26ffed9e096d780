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
class VmmCapabilities:
    """What a driver can do beyond running machines. `memory_snapshot`: `save` and `restore`. `templates`:
    machines whose memory is a file (`VmmConfig.memory`), `save_devices` and `resize_disk`."""

    memory_snapshot: bool
    templates: bool


Progress = Callable[[int, int], None]
"""Called with the bytes that are done, and how many there are to be as far as is known."""


def unwatched(_done: int, _total: int) -> None:
    """A `Progress` for what nobody watches."""


@dataclass(frozen=True, slots=True)
class GuestMemory:
    """An open file of the machine's size that is its memory. `shared`: what the guest writes is in the file;
    else it is the machine's own, and the file stays as it is."""

    descriptor: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Nic:
    """A network device. `tap` is an open descriptor of the TAP device behind it, which has a virtio-net header; the VMM
    is handed it, and its network namespace matters no more."""

    tap: int
    mac: str


@dataclass(frozen=True, slots=True)
class VmmConfig:
    """One machine's hardware. Paths exist; `memory_mb` in MiB; `token_hex` opens the guest channel.

    `upper_disk` is attached writable, `image` read-only. `run_dir` gets the sockets, `log` what
    the VMM itself says. The VMM drops to `uid` before the guest runs and joins `cgroup_procs` first.
    Without a `memory` the machine gets some of its own. `nics` in the order in which the guest finds them.
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
    memory: GuestMemory | None = None
    nics: tuple[Nic, ...] = ()


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

    async def save(self, target: int, progress: Progress) -> None:
        """Write memory and devices of a paused machine to `target`, an open file or a connected socket.

        The disk is not part of it, and stays as it is meanwhile. The machine is paused afterwards as
        it was before, also if it fails or is cancelled; what has been written by then is worthless.
        Raises WorkerFault, also if nothing has been written for a while (a full disk, a reader
        that has stopped).
        """
        ...

    async def abandon_save(self) -> None:
        """End a `save` that an earlier daemon began. Idempotent; nothing happens where none goes on."""
        ...

    async def save_devices(self, target: int) -> None:
        """Write the devices alone of a paused machine whose memory is a shared file. As `save` otherwise;
        the file is whole once the process has ended."""
        ...

    async def resize_disk(self, size_mb: int) -> None:
        """Give the writable disk of a paused machine so many MiB; the guest hears of it when it goes on.
        Never less than it has."""
        ...

    async def memory_taken_mb(self) -> int:
        """MiB of the host that go when this process ends."""
        ...

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

    @property
    def capabilities(self) -> VmmCapabilities: ...

    @property
    def state_format(self) -> str:
        """What wrote a saved state and what processor it was written for: `restore` takes those alone
        that were saved under the same name."""
        ...

    async def start(self, config: VmmConfig) -> VmmHandle:
        """Start the machine. Raises WorkerFault with what the VMM said; leaves nothing behind then."""
        ...

    async def restore(self, config: VmmConfig, source: int, progress: Progress) -> VmmHandle:
        """Start a process with what `save` wrote, read from the open file `source`; it is paused. With a
        `memory` in its configuration, `source` is what `save_devices` wrote.

        `vcpus`, `memory_mb` and the MACs of `nics` are those of the machine that was saved, and the disks hold what its disks
        held then; everything else is the new machine's own. Its agent still knows the token of the
        old one. Raises WorkerFault as `start` does.
        """
        ...

    async def adopt(self, identity: ProcessId, run_dir: Path) -> VmmHandle | None:
        """Take over a process that an earlier daemon started; None if it is gone."""
        ...
