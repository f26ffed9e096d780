"""A host for tests: VMMs, control groups and disks that exist in memory, spoken to by the real code."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.worker.cgroups import Limits
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.images.cache import ImageCache
from scaibunker.worker.machines.host import Host
from scaibunker.worker.vmm.port import VmmConfig
from scaibunker.worker.vmm.process import ProcessId
from tests.unit.worker.fake_agent import FakeAgent, FakeExchange

SHA = "ab" * 32


class FakeCgroups:
    """Control groups as a dictionary."""

    version = "fake"

    def __init__(self) -> None:
        self.groups: dict[str, Limits] = {}
        self.cpu: dict[str, int] = {}

    def create(self, name: str, limits: Limits) -> None:
        self.groups[name] = limits

    def procs(self, name: str) -> tuple[Path, ...]:
        return ()

    def set_cpu(self, name: str, cpu_millicores: int) -> None:
        self.cpu[name] = cpu_millicores

    def kill(self, name: str) -> None:
        pass

    def delete(self, name: str) -> None:
        self.groups.pop(name, None)

    def names(self) -> set[str]:
        return set(self.groups)

    def close(self) -> None:
        pass


class FakeVmm:
    """A VMM process that runs until it is stopped or dies."""

    def __init__(self, process: ProcessId, run_dir: Path) -> None:
        self.process = process
        self.channel_path = run_dir / "agent.sock"
        self.console_path = run_dir / "console.sock"
        self.running = True
        self.paused = False
        self._callbacks: list[Callable[[], None]] = []

    async def pause(self) -> None:
        self.paused = True

    async def resume(self) -> None:
        self.paused = False

    async def is_paused(self) -> bool:
        return self.paused

    async def stop(self) -> None:
        self.die()

    def outcome(self) -> str:
        return "its VMM was killed by SIGKILL"

    def on_exit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def die(self) -> None:
        if self.running:
            self.running = False
            for callback in self._callbacks:
                callback()


@dataclass
class FakeDriver:
    """Starts fake VMMs, each with a fake agent unless `deaf`."""

    deaf: bool = False
    refuses: bool = False
    acceleration: str = "fake"
    memory_overhead_mb: int = 10
    vmms: list[FakeVmm] = field(default_factory=list)
    agents: list[FakeAgent] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def start(self, config: VmmConfig) -> FakeVmm:
        if self.refuses:
            raise WorkerFault("QEMU ended at once: no such machine")
        agent = FakeAgent(self._answer, deaf=self.deaf, token=bytes.fromhex(config.token_hex))
        vmm = FakeVmm(ProcessId(1000 + len(self.vmms), 1, "boot"), config.run_dir)
        await agent.start(vmm.channel_path)
        self.agents.append(agent)
        self.vmms.append(vmm)
        return vmm

    async def adopt(self, identity: ProcessId, run_dir: Path) -> FakeVmm | None:
        return next((v for v in self.vmms if v.process == identity and v.running), None)

    async def close(self) -> None:
        for agent in self.agents:
            await agent.stop()

    async def _answer(self, exchange: FakeExchange) -> None:
        path = exchange.headers[":path"]
        self.requests.append(f"{exchange.headers[':method']} {path}")
        await exchange.answer(b'{"execs": []}' if path == "/v1/execs" else b"")


def make_host(folder: Path, driver: FakeDriver, boot_timeout_s: float = 20) -> Host:
    """A host whose state lies below `folder`."""
    image = folder / SHA
    if not image.exists():
        image.write_bytes(b"image")
    images = ImageCache(folder / "images")
    images.link(image)
    return Host(
        driver=driver,
        cgroups=FakeCgroups(),
        images=images,
        kernel=folder / "vmlinux",
        initramfs=folder / "initramfs",
        machines_dir=folder / "machines",
        run_dir=folder / "run",
        boot_timeout_s=boot_timeout_s,
        spool_limit_bytes=1 << 20,
        boots=asyncio.Semaphore(2),
    )


def spec(**fields: object) -> MachineSpec:
    values: dict[str, object] = {
        "bunker_id": "bnk_abcd1234",
        "tenant_id": "ten_a",
        "image_sha256": SHA,
        "image_size": 5,
        "cpu_millicores": 500,
        "memory_mb": 256,
        "disk_mb": 64,
        "hostname": "one",
    }
    return MachineSpec.model_validate({**values, **fields})
