"""The control group that the VMM's process lives in."""

from scaibunker.worker.cgroups import Limits
from scaibunker.worker.machines.body import Body

VMM_THREADS = 128
"""Threads of one VMM process at most: vCPUs, I/O workers, its main loop."""

BOOT_CPU_MILLICORES = 1000
"""A machine boots with a whole core per vCPU at least; its own share applies once it runs."""

VMM_CPU_MILLICORES = 100
"""What the VMM's own threads may use beside the vCPUs, so that I/O does not eat the guest's share."""


class MakeCgroup:
    """Limits hold from the process's first instruction on."""

    name = "control group"

    async def do(self, body: Body) -> None:
        spec = body.spec
        body.host.cgroups.create(
            spec.bunker_id,
            Limits(
                cpu_millicores=max(spec.cpu_millicores, BOOT_CPU_MILLICORES) + VMM_CPU_MILLICORES,
                memory_mb=body.memory_mb + body.host.driver.memory_overhead_mb,
                pids=VMM_THREADS,
            ),
        )

    async def undo(self, body: Body) -> None:
        body.host.cgroups.kill(body.spec.bunker_id)
        body.host.cgroups.delete(body.spec.bunker_id)
