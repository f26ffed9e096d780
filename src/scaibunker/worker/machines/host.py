"""What every machine of this worker shares: the host's means, handed in once."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from scaibunker.worker.cgroups import Cgroups
from scaibunker.worker.images.cache import ImageCache
from scaibunker.worker.vmm.port import VmmDriver


@dataclass(frozen=True)
class Host:
    """`machines_dir` holds the state folders, `run_dir` the sockets. `boots` bounds how many machines
    boot at once."""

    driver: VmmDriver
    cgroups: Cgroups
    images: ImageCache
    kernel: Path
    initramfs: Path
    machines_dir: Path
    run_dir: Path
    boot_timeout_s: float
    spool_limit_bytes: int
    boots: asyncio.Semaphore
