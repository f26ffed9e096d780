"""Which control groups this host has, read from its mount table."""

from pathlib import Path

from scaibunker.worker.cgroups.port import Cgroups
from scaibunker.worker.cgroups.v1 import CgroupsV1
from scaibunker.worker.cgroups.v2 import CONTROLLERS, CgroupsV2
from scaibunker.worker.errors import WorkerFault


def detect(worker: str, mountinfo: str | None = None) -> Cgroups:
    """Version 2 where it has the controllers we need, else version 1. Raises WorkerFault.

    `mountinfo` is the text of /proc/self/mountinfo.
    """
    if mountinfo is None:
        mountinfo = Path("/proc/self/mountinfo").read_text()
    v1: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount_point = Path(before.split()[4])
        fs_type, _, options = after.split(maxsplit=2)
        if fs_type == "cgroup2" and _has_controllers(mount_point):
            return CgroupsV2(mount_point, worker)
        if fs_type == "cgroup":
            for option in options.split(","):
                v1.setdefault(option, mount_point)
    if all(controller in v1 for controller in CONTROLLERS):
        return CgroupsV1(v1["cpu"], v1["memory"], v1["pids"], worker)
    missing = ", ".join(c for c in CONTROLLERS if c not in v1)
    raise WorkerFault(f"this host has no control groups for: {missing} (neither v2 nor v1)")


def workers() -> set[str]:
    """Every worker that has groups on this host, by id. Raises WorkerFault."""
    return detect("").names()  # workers are to the base what machines are to a worker


def _has_controllers(mount_point: Path) -> bool:
    try:
        available = (mount_point / "cgroup.controllers").read_text().split()
    except OSError:
        return False
    return all(controller in available for controller in CONTROLLERS)
