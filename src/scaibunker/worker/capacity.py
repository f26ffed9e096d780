"""What this host may give to bunkers: settings first, else read from the host."""

import os
import shutil
from pathlib import Path

from scaibunker.wire.worker.heartbeat import Capacity
from scaibunker.worker.settings import WorkerSettings

CPU_OVERCOMMIT = 4
"""Bunkers are idle most of the time: a core is promised to several of them."""
MIB = 1024 * 1024
RESERVED, LEAST_RESERVE_MB, MOST_RESERVE_MB = 0.02, 64, 4096
SHARE = 0.8
"""Of memory and disk; the rest is the host's own."""


def measure(settings: WorkerSettings) -> Capacity:
    """Read once at start."""
    disk = (shutil.disk_usage(settings.data_dir).free + _taken(settings.data_dir)) // (1024 * 1024)
    return Capacity(
        cpu_millicores=settings.capacity_cpu_millicores
        or (os.cpu_count() or 1) * 1000 * CPU_OVERCOMMIT,
        memory_mb=settings.capacity_memory_mb or int(host_memory_mb() * SHARE),
        disk_mb=settings.capacity_disk_mb or int(disk * SHARE),
    )


def reserve_bytes(settings: WorkerSettings) -> int:
    """Bytes of the disk that are left to what runs."""
    if settings.disk_reserve_mb is not None:
        return settings.disk_reserve_mb * MIB
    whole = shutil.disk_usage(settings.data_dir).total
    return min(max(int(whole * RESERVED), LEAST_RESERVE_MB * MIB), MOST_RESERVE_MB * MIB)


def host_memory_mb() -> int:
    """MiB, used or not."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)


def _taken(data_dir: Path) -> int:
    """Bytes that machines of an earlier daemon hold: theirs, and so ours to give."""
    disks = (data_dir / "machines").glob("*/upper.ext4")
    return sum(disk.stat().st_blocks * 512 for disk in disks)
