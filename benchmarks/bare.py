"""The floor: one machine run by the VMM driver and spoken to over its guest channel, nothing above."""

import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scaibunker.artifacts.manifest import Artifacts
from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Decoder, Kind
from scaibunker.wire.guest.handshake import TOKEN_BYTES
from scaibunker.worker.disks.copy import copy_sparse
from scaibunker.worker.disks.upper import make_upper
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.guest.link import GuestLink
from scaibunker.worker.templates import template as files
from scaibunker.worker.threads import in_thread
from scaibunker.worker.vmm.port import GuestMemory, VmmConfig
from scaibunker.worker.vmm.qemu.driver import QemuDriver

BOOT_TIMEOUT_S = 90
FILE = "/home/bunker/bench.bin"


@asynccontextmanager
async def machine(
    artifacts: Artifacts, image: str, acceleration: str, memory_mb: int
) -> AsyncIterator[tuple[GuestAgent, float]]:
    """A booted machine's agent, and the seconds from nothing to its first command's end."""
    token = secrets.token_bytes(TOKEN_BYTES)
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as folder:
        run_dir = Path(folder)
        begun = time.monotonic()
        upper = run_dir / "upper.ext4"
        await make_upper(upper, 1024)
        vmm = await QemuDriver(acceleration).start(
            VmmConfig(
                machine_id="bnk_bench",
                kernel=artifacts.boot.kernel,
                initramfs=artifacts.boot.initramfs,
                image=next(i.path for i in artifacts.images if i.name == image),
                upper_disk=upper,
                vcpus=1,
                memory_mb=memory_mb,
                token_hex=token.hex(),
                run_dir=run_dir,
                log=run_dir / "vmm.log",
                uid=799_999,
                cgroup_procs=(),
            )
        )
        try:
            agent = GuestAgent(GuestLink(vmm.channel_path, token))
            await agent.link.connect(BOOT_TIMEOUT_S)
            await agent.set_identity("bench", {})
            await exec_true(agent)
            yield agent, time.monotonic() - begun
            agent.link.close()
        finally:
            await vmm.stop()


@asynccontextmanager
async def template(folder: Path) -> AsyncIterator[tuple[files.Manifest, int]]:
    """A template of a worker's, with its memory open, as a worker has that it made machines of before."""
    manifest = files.read(folder)
    memory = await in_thread(lambda stop: files.load(folder, manifest, stop))
    try:
        yield manifest, memory
    finally:
        os.close(memory)


async def restore(
    artifacts: Artifacts, acceleration: str, folder: Path, manifest: files.Manifest, memory: int
) -> float:
    """Seconds from nothing to the first command's end of a machine that is restored from a template."""
    with tempfile.TemporaryDirectory(prefix="scaibunker-bench-") as name:
        run_dir = Path(name)
        begun = time.monotonic()
        upper = run_dir / "upper.ext4"
        source = folder / files.DISK
        await in_thread(lambda stop: copy_sparse(source, upper, stop, lambda _more: None))
        config = VmmConfig(
            machine_id="bnk_bench",
            kernel=artifacts.boot.kernel,
            initramfs=artifacts.boot.initramfs,
            image=next(i.path for i in artifacts.images if i.sha256 == manifest.image_sha256),
            upper_disk=upper,
            vcpus=manifest.vcpus,
            memory_mb=manifest.memory_mb,
            token_hex=manifest.token_hex,
            run_dir=run_dir,
            log=run_dir / "vmm.log",
            uid=799_999,
            cgroup_procs=(),
            memory=GuestMemory(memory, shared=False),
        )
        with (folder / files.DEVICES).open("rb") as devices:
            vmm = await QemuDriver(acceleration).restore(
                config, devices.fileno(), lambda _done, _all: None
            )
        try:
            await vmm.resume()
            agent = GuestAgent(GuestLink(vmm.channel_path, bytes.fromhex(manifest.token_hex)))
            await agent.link.connect(BOOT_TIMEOUT_S)
            await exec_true(agent)
            taken = time.monotonic() - begun
            agent.link.close()
        finally:
            await vmm.stop()
    return taken


async def exec_true(agent: GuestAgent) -> float:
    """Seconds for one /bin/true. Raises AssertionError if it did not exit with 0."""
    begun = time.monotonic()
    start = ExecStart(argv=["/bin/true"], timeout_s=60)
    stream = await agent.start_exec(f"exe_{secrets.token_hex(8)}", start)
    frames = list(Decoder().feed(await stream.read(1 << 20)))
    taken = time.monotonic() - begun
    assert frames[-1].kind is Kind.EXIT
    assert frames[-1].json()["exit_code"] == 0
    return taken


async def write_file(agent: GuestAgent, content: bytes) -> float:
    """Seconds to write a file."""
    begun = time.monotonic()
    stream = await agent.stream("PUT", f"/v1/files?path={FILE}", body=content)
    await stream.read(1 << 20)
    assert stream.status == 200
    return time.monotonic() - begun


async def read_file(agent: GuestAgent, size: int) -> float:
    """Seconds to read it back."""
    begun = time.monotonic()
    stream = await agent.stream("GET", f"/v1/files?path={FILE}")
    got = 0
    async for chunk in stream.chunks():
        got += len(chunk)
    assert got == size
    return time.monotonic() - begun
