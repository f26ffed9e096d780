"""What outlives a worker daemon that dies, processes and control groups, and how a test takes it away."""

import contextlib
import os
import signal
from pathlib import Path

from tests.waiting import wait_until

VMM = b"qemu-system"
GATEWAY = b"scaibunker.worker.gateway.main"


def running(program: bytes, folder: Path) -> list[int]:
    """Those whose command line names the program and something below `folder`, which must be the test's own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes()
            if program in line and os.fsencode(folder) in line:
                found.append(int(entry.name))
    return found


def end_processes(folder: Path) -> None:
    """SIGKILL to all of them; returns when they are gone."""

    def left() -> list[int]:
        return [*running(VMM, folder), *running(GATEWAY, folder)]

    for pid in left():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not left(), 60, lambda: f"the end of {left()}")


def control_groups(worker_id: str) -> list[Path]:
    """All of that worker, the innermost first; the last one of each hierarchy is the worker's own."""
    bases = [
        base
        for pattern in ("scaibunker", "*/scaibunker")
        for base in Path("/sys/fs/cgroup").glob(f"{pattern}/{worker_id}")
    ]
    return [path for base in bases for path in (*(p for p in base.iterdir() if p.is_dir()), base)]


def remove_control_groups(worker_id: str) -> None:
    """Those that no process is in any more."""
    for group in control_groups(worker_id):
        with contextlib.suppress(OSError):
            group.rmdir()
