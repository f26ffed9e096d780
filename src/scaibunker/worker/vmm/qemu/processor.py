"""What a state that QEMU saved depends on: its release, our devices, and the processor the guest has seen.

Under TCG the processor is QEMU's own, the same on every host; under KVM it is the host's, and a guest
that was started on one must not wake up on another.
"""

import hashlib
import subprocess
from pathlib import Path

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.vmm.process import plain_environment
from scaibunker.worker.vmm.qemu import command

VERSION_TIMEOUT_S = 20.0
_MODEL_LINES = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")


def state_format(acceleration: str) -> str:
    """Equal only where a state can be carried from one to the other. Raises WorkerFault."""
    cpu = "emulated" if acceleration == "tcg" else host_processor(Path("/proc/cpuinfo").read_text())
    return f"qemu {_version()}; layout {command.LAYOUT}; {acceleration}; cpu {cpu}"


def host_processor(cpuinfo: str) -> str:
    """A short name of the first processor in /proc/cpuinfo, with a digest of all that guests can see."""
    first = cpuinfo.split("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in first)
    lines = {key.strip(): value.strip() for key, _, value in pairs}
    seen = "\n".join(f"{name}={lines.get(name, '')}" for name in _MODEL_LINES)
    digest = hashlib.sha256(seen.encode()).hexdigest()[:16]
    return f"{lines.get('model name', 'unknown')} ({digest})"


def _version() -> str:
    """As `--version` says it: `7.2.22 (Debian ...)`."""
    try:
        done = subprocess.run(
            [command.BINARY, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=True,
            env=plain_environment(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise WorkerFault(f"cannot ask QEMU for its version: {error}") from error
    return done.stdout.splitlines()[0].removeprefix("QEMU emulator version ").strip()
