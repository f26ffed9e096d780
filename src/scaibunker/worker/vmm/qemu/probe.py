"""Whether KVM really runs our kernel: found out by booting it, once, and remembered.

A /dev/kvm that opens proves nothing: some hosts run only specially built guest kernels on it, and an
ordinary one then spins for ever. The answer is kept for as long as host, QEMU and kernel are the same.
"""

import asyncio
import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from scaibunker.worker.vmm.process import boot_id, plain_environment
from scaibunker.worker.vmm.qemu import command

BOOT_LIMIT_S = 6.0
"""Under working KVM the kernel reaches its first program in less than one second."""
PROOF = b"Run /init as init process"
"""What the kernel prints when it has come up and starts its first program."""


@dataclass(frozen=True)
class Acceleration:
    """`kind` is `kvm` or `tcg`; `reason` says why, for operators."""

    kind: str
    reason: str


async def choose(wanted: str, kernel: Path, initramfs: Path, memory: Path) -> Acceleration:
    """What to run machines with. `wanted` is `auto`, `kvm` or `tcg`; `memory` is the file that
    remembers."""
    if wanted != "auto":
        return Acceleration(wanted, "set by the operator")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Acceleration("tcg", "/dev/kvm is missing or cannot be opened")
    key = _key(kernel)
    remembered = _recall(memory, key)
    if remembered is not None:
        return remembered
    result = await probe(kernel, initramfs)
    with contextlib.suppress(OSError):  # a lost memory costs one probe
        memory.parent.mkdir(parents=True, exist_ok=True)
        temporary = memory.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"key": key, "kind": result.kind, "reason": result.reason}))
        temporary.rename(memory)
    return result


async def probe(kernel: Path, initramfs: Path) -> Acceleration:
    """Boot the kernel under KVM with a time limit."""
    process = await asyncio.create_subprocess_exec(
        # A daemon that is killed meanwhile must not leave a machine that spins for ever.
        "setpriv", "--pdeathsig", "KILL", "--", command.BINARY, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-machine", "q35", *command.acceleration_options("kvm"), "-m", "128M",
        "-kernel", str(kernel), "-initrd", str(initramfs),
        "-append", "console=ttyS0 loglevel=7 panic=-1", "-serial", "stdio",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=plain_environment(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(BOOT_LIMIT_S):
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            said = bytearray()
            while data := await process.stdout.read(4096):
                said += data
                if PROOF in said:
                    return Acceleration("kvm", "the kernel boots under KVM")
        tail = said[-200:].decode(errors="replace").strip()
        return Acceleration("tcg", f"QEMU could not use KVM: {tail}")
    except TimeoutError:
        return Acceleration(
            "tcg", f"under KVM the kernel did not come up within {BOOT_LIMIT_S:g} s"
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _key(kernel: Path) -> str:
    """What the answer depends on."""
    qemu = shutil.which(command.BINARY)
    stamp = Path(qemu).stat() if qemu else None
    stat = kernel.stat()
    return (
        f"{boot_id()}:{stamp and (stamp.st_mtime_ns, stamp.st_size)}"
        f":{kernel}:{stat.st_mtime_ns}:{stat.st_size}"
    )


def _recall(memory: Path, key: str) -> Acceleration | None:
    try:
        value = json.loads(memory.read_text())
        if value["key"] == key and value["kind"] in ("kvm", "tcg"):
            return Acceleration(value["kind"], str(value["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None
