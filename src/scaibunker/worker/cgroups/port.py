"""What the worker asks of control groups, whichever version the host has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CPU_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """`cpu_millicores` in thousandths of a core, `memory_mb` in MiB, `pids` counts threads too. `background`: others
    get ten times its share of a core that both want."""

    cpu_millicores: int
    memory_mb: int
    pids: int
    background: bool = False


class Cgroups(Protocol):
    """The groups of one worker, one per machine. All calls are idempotent."""

    @property
    def version(self) -> str: ...

    def create(self, name: str, limits: Limits) -> None:
        """Make the group, or set the limits of the one that is there."""
        ...

    def procs(self, name: str) -> tuple[Path, ...]:
        """The `cgroup.procs` files that a process writes itself into to become a member."""
        ...

    def set_cpu(self, name: str, cpu_millicores: int) -> None: ...

    def kill(self, name: str) -> None:
        """End every process that is in the group, and wait until they are gone. Usually none is."""
        ...

    def delete(self, name: str) -> None:
        """Remove the group; its processes are gone already."""
        ...

    def names(self) -> set[str]:
        """Every group of this worker, known or left over."""
        ...

    def close(self) -> None:
        """Remove the worker's own group if nothing is left in it."""
        ...


def quota_us(cpu_millicores: int) -> int:
    """Microseconds of CPU per period."""
    return cpu_millicores * CPU_PERIOD_US // 1000
