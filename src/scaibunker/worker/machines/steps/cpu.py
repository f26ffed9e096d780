"""The CPU share that the bunker was promised, once it has booted."""

from scaibunker.worker.machines.body import Body
from scaibunker.worker.machines.size import VMM_CPU_MILLICORES


class SettleCpu:
    """Last in the plan: booting at a tenth of a core would take a minute."""

    name = "CPU share"

    async def do(self, body: Body) -> None:
        body.host.cgroups.set_cpu(body.host_name, body.spec.cpu_millicores + VMM_CPU_MILLICORES)

    async def undo(self, body: Body) -> None:
        """Goes with the control group."""
