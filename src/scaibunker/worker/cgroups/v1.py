"""Control groups version 1: a hierarchy per controller."""

import contextlib
from pathlib import Path

from scaibunker.worker.cgroups.members import kill_members
from scaibunker.worker.cgroups.port import CPU_PERIOD_US, Limits, quota_us


class CgroupsV1:
    """Groups below `<controller>/scaibunker/<worker>/` in each of the three hierarchies."""

    version = "v1"

    def __init__(self, cpu: Path, memory: Path, pids: Path, worker: str) -> None:
        self._bases = {
            "cpu": cpu / "scaibunker" / worker,
            "memory": memory / "scaibunker" / worker,
            "pids": pids / "scaibunker" / worker,
        }

    def create(self, name: str, limits: Limits) -> None:
        groups = {kind: base / name for kind, base in self._bases.items()}
        for group in groups.values():
            group.mkdir(parents=True, exist_ok=True)
        limit = str(limits.memory_mb * 1024 * 1024)
        (groups["memory"] / "memory.limit_in_bytes").write_text(limit)
        with contextlib.suppress(OSError):  # a host without swap accounting
            (groups["memory"] / "memory.memsw.limit_in_bytes").write_text(limit)
        (groups["pids"] / "pids.max").write_text(str(limits.pids))
        (groups["cpu"] / "cpu.shares").write_text("102" if limits.background else "1024")
        self.set_cpu(name, limits.cpu_millicores)

    def procs(self, name: str) -> tuple[Path, ...]:
        return tuple(base / name / "cgroup.procs" for base in self._bases.values())

    def set_cpu(self, name: str, cpu_millicores: int) -> None:
        group = self._bases["cpu"] / name
        (group / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us(cpu_millicores)))

    def kill(self, name: str) -> None:
        kill_members(self.procs(name))

    def delete(self, name: str) -> None:
        for base in self._bases.values():
            with contextlib.suppress(FileNotFoundError):
                (base / name).rmdir()

    def names(self) -> set[str]:
        return {
            path.name
            for base in self._bases.values()
            if base.exists()
            for path in base.iterdir()
            if path.is_dir()
        }

    def close(self) -> None:
        for base in self._bases.values():
            for group in (base, base.parent):
                with contextlib.suppress(OSError):  # not empty, or never made
                    group.rmdir()
