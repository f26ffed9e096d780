"""What machines are made of without a boot, as a worker reports it and the scheduler looks for it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.snapshots import Sha256

MAX_TEMPLATES = 256
"""In one report; those that were used last."""
SMALLEST_MACHINE_MB = 104
"""MiB. The kernel takes about 38 for itself and does not start on less than 96 in all: a bunker of 64
gets a machine in which its programs have their 64."""


NicKind = Literal["none", "routed", "bridged"]
"""The network device of a machine: what a machine that is made of a template has to have in common with it. A routed one
has the same addresses in every machine; bridged ones are each machine's own, so that no template fits."""


def nic_of(profile: str) -> NicKind:
    """The device that goes with a profile."""
    match profile:
        case NetworkProfile.ISOLATED:
            return "none"
        case NetworkProfile.TRANSIT:
            return "bridged"
        case _:
            return "routed"


def vcpus_of(cpu_millicores: int) -> int:
    """Virtual processors of a bunker's machine."""
    return -(-cpu_millicores // 1000)


def machine_memory_mb(memory_mb: int) -> int:
    """MiB of a bunker's machine: what the bunker was promised, or what its kernel needs to start."""
    return max(memory_mb, SMALLEST_MACHINE_MB)


class TemplateShape(BaseModel):
    """A booted machine of this image, with so many processors and MiB of memory and such a network device, is kept on the
    worker."""

    image_sha256: Sha256
    vcpus: Annotated[int, Field(ge=1, le=1 << 20)]
    memory_mb: Annotated[int, Field(ge=1, le=1 << 30)]
    nic: Literal["none", "routed"] = "none"

    @property
    def name(self) -> str:
        """The same as of every bunker whose machine can be made of it (`template_of`)."""
        return f"{self.image_sha256}/{self.vcpus}/{self.memory_mb}/{self.nic}"


def template_of(image_sha256: str, cpu_millicores: int, memory_mb: int, profile: str) -> str:
    """The name of the template that a bunker's machine can be made of."""
    sizes = f"{vcpus_of(cpu_millicores)}/{machine_memory_mb(memory_mb)}"
    return f"{image_sha256}/{sizes}/{nic_of(profile)}"
