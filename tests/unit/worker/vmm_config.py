"""A machine as a driver is told of it."""

from pathlib import Path

from scaibunker.worker.vmm.port import VmmConfig

CONFIG = VmmConfig(
    machine_id="bnk_abcd",
    kernel=Path("/k/vmlinux"),
    initramfs=Path("/k/initramfs"),
    image=Path("/images/a,b.ext4"),
    upper_disk=Path("/d/upper.ext4"),
    vcpus=2,
    memory_mb=256,
    token_hex="00" * 32,
    run_dir=Path("/run/x"),
    log=Path("/d/vmm.log"),
    uid=700_001,
    cgroup_procs=(Path("/cg/cpu/procs"), Path("/cg/memory/procs")),
)
