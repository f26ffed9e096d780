"""Machines straight from a VMM driver, without a daemon."""

import asyncio
import secrets
import shutil
import threading
from pathlib import Path

from scaibunker.artifacts.manifest import Artifacts
from scaibunker.wire.guest.execs import ExecStart
from scaibunker.wire.guest.frames import Decoder, Kind
from scaibunker.worker.disks.copy import copy_sparse
from scaibunker.worker.disks.upper import make_growing, make_upper
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.guest.link import GuestLink
from scaibunker.worker.vmm.port import VmmConfig, VmmHandle
from scaibunker.worker.vmm.qemu.driver import QemuDriver

UIDS = 780_000


class Bench:
    """Machines straight from a driver, without a daemon."""

    def __init__(self, folder: Path, artifacts: Artifacts) -> None:
        self.driver = QemuDriver("tcg")
        self.folder = folder
        self._artifacts = artifacts
        self._sockets = Path("/run/scaibunker-tests") / secrets.token_hex(4)
        self._handles: list[VmmHandle] = []
        self._links: list[GuestLink] = []

    def config(self, name: str, memory_mb: int = 256) -> VmmConfig:
        run_dir = self._sockets / name
        run_dir.mkdir(parents=True, mode=0o711)
        (self.folder / name).mkdir()
        return VmmConfig(
            machine_id=f"bnk_{name}",
            kernel=self._artifacts.boot.kernel,
            initramfs=self._artifacts.boot.initramfs,
            image=next(i.path for i in self._artifacts.images if i.name == "debian-12"),
            upper_disk=self.folder / name / "upper.ext4",
            vcpus=1,
            memory_mb=memory_mb,
            token_hex=secrets.token_hex(32),
            run_dir=run_dir,
            log=self.folder / name / "vmm.log",
            uid=UIDS + len(self._handles),
            cgroup_procs=(),
        )

    async def boot(
        self, config: VmmConfig, *, growing: bool = False
    ) -> tuple[VmmHandle, GuestAgent]:
        if growing:
            await make_growing(config.upper_disk, 64)
        else:
            await make_upper(config.upper_disk, 256)
        handle = await self.driver.start(config)
        self._handles.append(handle)
        agent = await self.agent(handle, config.token_hex)
        await agent.set_identity("first", {})
        return handle, agent

    async def restore(self, config: VmmConfig, state: Path, disk: Path) -> VmmHandle:
        await copy_disk(disk, config.upper_disk)
        with state.open("rb") as source:
            handle = await self.driver.restore(config, source.fileno(), lambda _done, _all: None)
        self._handles.append(handle)
        return handle

    async def agent(self, handle: VmmHandle, token_hex: str) -> GuestAgent:
        link = GuestLink(handle.channel_path, bytes.fromhex(token_hex))
        self._links.append(link)
        await link.connect(120)
        return GuestAgent(link)

    async def close(self) -> None:
        for link in self._links:
            link.close()
        for handle in self._handles:
            await handle.stop()
        shutil.rmtree(self._sockets, ignore_errors=True)


async def run(agent: GuestAgent, command: str) -> bytes:
    """What a command of root's says, which succeeds."""
    start = ExecStart(shell=command, user="root", timeout_s=60)
    stream = await agent.start_exec(f"exe_{secrets.token_hex(8)}", start)
    frames = list(Decoder().feed(await stream.read(1 << 20)))
    assert frames[-1].kind is Kind.EXIT
    assert frames[-1].json()["exit_code"] == 0, frames
    return b"".join(f.payload for f in frames if f.kind is Kind.STDOUT)


async def content(agent: GuestAgent, path: str) -> bytes:
    """What is in a file of the guest, read by the agent itself."""
    stream = await agent.stream("GET", f"/v1/files?user=root&path={path}")
    assert stream.status == 200
    return await stream.read(1 << 20)


def ignore(_done: int, _all: int) -> None:
    """Progress that nobody looks at."""


async def copy_disk(disk: Path, copy: Path) -> None:
    await asyncio.to_thread(copy_sparse, disk, copy, threading.Event(), lambda _more: None)
