"""Control groups version 2: one hierarchy."""

import contextlib
from pathlib import Path

from scaibunker.worker.cgroups.members import kill_members
from scaibunker.worker.cgroups.port import CPU_PERIOD_US, Limits, quota_us

CONTROLLERS = ("cpu", "memory", "pids")


class CgroupsV2:
    """Groups below `root/scaibunker/<worker>/`."""

    version = "v2"

    def __init__(self, root: Path, worker: str) -> None:
        self._base = root / "scaibunker" / worker
        self._root = root

    def create(self, name: str, limits: Limits) -> None:
        for parent in (self._root, self._base.parent, self._base):
            parent.mkdir(exist_ok=True)
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in CONTROLLERS))
        group = self._base / name
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(str(limits.memory_mb * 1024 * 1024))
        with contextlib.suppress(OSError):  # a host without swap accounting
            (group / "memory.swap.max").write_text("0")
        (group / "pids.max").write_text(str(limits.pids))
        (group / "cpu.weight").write_text("10" if limits.background else "100")
        self.set_cpu(name, limits.cpu_millicores)

    def procs(self, name: str) -> tuple[Path, ...]:
        return (self._base / name / "cgroup.procs",)

    def set_cpu(self, name: str, cpu_millicores: int) -> None:
        (self._base / name / "cpu.max").write_text(f"{quota_us(cpu_millicores)} {CPU_PERIOD_US}")

    def kill(self, name: str) -> None:
        kill_members(self.procs(name))

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._base / name).rmdir()

    def names(self) -> set[str]:
        return (
            {p.name for p in self._base.iterdir() if p.is_dir()} if self._base.exists() else set()
        )

    def close(self) -> None:
        for group in (self._base, self._base.parent):
            with contextlib.suppress(OSError):  # not empty, or never made
                group.rmdir()
