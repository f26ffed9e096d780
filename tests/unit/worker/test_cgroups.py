"""Control groups: which version is taken, and what is written where."""

import dataclasses
from pathlib import Path

import pytest

from scaibunker.worker.cgroups import Limits, detect
from scaibunker.worker.cgroups.v1 import CgroupsV1
from scaibunker.worker.cgroups.v2 import CgroupsV2
from scaibunker.worker.errors import WorkerFault

LIMITS = Limits(cpu_millicores=1500, memory_mb=256, pids=64)


def _mount(path: Path, fs_type: str, options: str = "rw") -> str:
    return f"30 24 0:26 / {path} rw,relatime - {fs_type} {fs_type} {options}"


def _v1_mounts(tmp_path: Path) -> str:
    return "\n".join(
        _mount(tmp_path / name, "cgroup", f"rw,{name}") for name in ("cpu", "memory", "pids")
    )


def test_version_2_is_taken_where_it_has_the_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    mounts = _v1_mounts(tmp_path) + "\n" + _mount(tmp_path, "cgroup2")
    assert detect("w", mounts).version == "v2"


def test_version_1_is_taken_where_version_2_has_none(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("\n")
    mounts = _mount(tmp_path, "cgroup2") + "\n" + _v1_mounts(tmp_path)
    assert detect("w", mounts).version == "v1"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    mounts = _mount(tmp_path / "cpu", "cgroup", "rw,cpu,cpuacct")
    with pytest.raises(WorkerFault, match="memory, pids"):
        detect("w", mounts)


def test_version_2_limits(tmp_path: Path) -> None:
    groups = CgroupsV2(tmp_path, "w")
    groups.create("bnk_a", LIMITS)
    group = tmp_path / "scaibunker" / "w" / "bnk_a"
    assert (group / "memory.max").read_text() == str(256 * 1024 * 1024)
    assert (group / "pids.max").read_text() == "64"
    assert (group / "cpu.max").read_text() == "150000 100000"
    assert (tmp_path / "scaibunker" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (group / "cpu.weight").read_text() == "100"
    groups.create("bnk_a", dataclasses.replace(LIMITS, background=True))
    assert (group / "cpu.weight").read_text() == "10"
    groups.set_cpu("bnk_a", 200)
    assert (group / "cpu.max").read_text() == "20000 100000"
    assert groups.names() == {"bnk_a"}


def test_version_1_limits(tmp_path: Path) -> None:
    groups = CgroupsV1(tmp_path / "cpu", tmp_path / "memory", tmp_path / "pids", "w")
    groups.create("bnk_a", LIMITS)
    group = Path("scaibunker", "w", "bnk_a")
    assert (tmp_path / "cpu" / group / "cpu.cfs_quota_us").read_text() == "150000"
    assert (tmp_path / "cpu" / group / "cpu.shares").read_text() == "1024"
    groups.create("bnk_a", dataclasses.replace(LIMITS, background=True))
    assert (tmp_path / "cpu" / group / "cpu.shares").read_text() == "102"
    assert (tmp_path / "memory" / group / "memory.limit_in_bytes").read_text() == "268435456"
    assert (tmp_path / "pids" / group / "pids.max").read_text() == "64"
    assert groups.names() == {"bnk_a"}
    assert len(groups.procs("bnk_a")) == 3


def test_deleting_what_is_not_there_is_fine(tmp_path: Path) -> None:
    CgroupsV2(tmp_path, "w").delete("bnk_none")
    CgroupsV1(tmp_path, tmp_path, tmp_path, "w").delete("bnk_none")
