"""The steps of a machine's plan, in the order in which they are done."""

from collections.abc import Sequence

from scaibunker.worker.machines.body import Body
from scaibunker.worker.machines.plan import Step
from scaibunker.worker.machines.steps.agent import AttachAgent, GreetAgent
from scaibunker.worker.machines.steps.cgroup import MakeCgroup
from scaibunker.worker.machines.steps.cpu import SettleCpu
from scaibunker.worker.machines.steps.disk import MakeDisk
from scaibunker.worker.machines.steps.folders import MakeFolders
from scaibunker.worker.machines.steps.network import AdmitTraffic, TakeNetwork
from scaibunker.worker.machines.steps.slot import TakeSlot
from scaibunker.worker.machines.steps.vmm import RunVmm

STEPS: Sequence[Step[Body]] = (
    TakeSlot(),
    MakeFolders(),
    MakeCgroup(),
    TakeNetwork(),
    MakeDisk(),
    RunVmm(),
    AttachAgent(),
    GreetAgent(),
    AdmitTraffic(),
    SettleCpu(),
)

STEPS_WHILE_PAUSED: Sequence[Step[Body]] = tuple(s for s in STEPS if not isinstance(s, GreetAgent))
"""For a machine that a new daemon finds frozen: all but speaking to its guest."""
