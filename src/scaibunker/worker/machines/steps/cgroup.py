"""The control group that the VMM's process lives in."""

from scaibunker.worker.cgroups import Limits
from scaibunker.worker.machines.body import Body
from scaibunker.worker.machines.size import BOOT_CPU_MILLICORES, VMM_CPU_MILLICORES, VMM_THREADS


class MakeCgroup:
    """Limits hold from the process's first instruction on."""

    name = "control group"

    async def do(self, body: Body) -> None:
        spec = body.spec
        body.host.cgroups.create(
            body.host_name,
            Limits(
                cpu_millicores=max(spec.cpu_millicores, BOOT_CPU_MILLICORES) + VMM_CPU_MILLICORES,
                memory_mb=body.memory_mb + body.host.driver.memory_overhead_mb,
                pids=VMM_THREADS,
            ),
        )

    async def undo(self, body: Body) -> None:
        body.host.cgroups.kill(body.host_name)
        body.host.cgroups.delete(body.host_name)
