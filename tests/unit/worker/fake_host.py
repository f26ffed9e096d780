"""A host for tests: VMMs, control groups and disks that exist in memory, spoken to by the real code."""

import asyncio
import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scaibunker.testing.networks import SimulatedNetworks
from scaibunker.wire.worker.machines import MachineSpec
from scaibunker.worker.cgroups import Limits
from scaibunker.worker.disks.upper import make_growing, make_upper
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.guest.link import GuestLink
from scaibunker.worker.images.cache import ImageCache
from scaibunker.worker.machines.host import Host
from scaibunker.worker.snapshots.jobs import Snapshots
from scaibunker.worker.snapshots.store import LocalStore
from scaibunker.worker.vmm.port import Progress, VmmCapabilities, VmmConfig
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
        self.memory = b"state of a machine"
        self.save_fails = False
        self.saves = asyncio.Event()
        self.saves.set()
        self._callbacks: list[Callable[[], None]] = []

    async def pause(self) -> None:
        self.paused = True

    async def resume(self) -> None:
        self.paused = False

    async def is_paused(self) -> bool:
        return self.paused

    async def save(self, target: int, progress: Progress) -> None:
        assert self.paused
        progress(0, len(self.memory))
        await self.saves.wait()
        if self.save_fails:
            raise WorkerFault("the disk is full")
        os.write(target, self.memory)

    async def abandon_save(self) -> None:
        """Nothing goes on when the task is gone."""

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
    old_agents: bool = False
    acceleration: str = "fake"
    memory_overhead_mb: int = 10
    vmms: list[FakeVmm] = field(default_factory=list)
    agents: list[FakeAgent] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    nics: list[list[str]] = field(default_factory=list)
    restored: list[bytes] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    identities: list[dict[str, object]] = field(default_factory=list)
    capabilities: VmmCapabilities = field(
        default_factory=lambda: VmmCapabilities(memory_snapshot=True, templates=False)
    )
    state_format: str = "fake 1"

    async def start(self, config: VmmConfig) -> FakeVmm:
        if self.refuses:
            raise WorkerFault("QEMU ended at once: no such machine")
        self.tokens.append(config.token_hex)
        for nic in config.nics:
            os.fstat(nic.tap)  # open
        self.nics.append([nic.mac for nic in config.nics])
        agent = FakeAgent(self._answer, deaf=self.deaf, token=bytes.fromhex(config.token_hex))
        vmm = FakeVmm(ProcessId(1000 + len(self.vmms), 1, "boot"), config.run_dir)
        await agent.start(vmm.channel_path)
        self.agents.append(agent)
        self.vmms.append(vmm)
        return vmm

    async def restore(self, config: VmmConfig, source: int, progress: Progress) -> FakeVmm:
        self.restored.append(os.read(source, 1 << 20))
        # Its agent is the one that was saved, and knows the first machine's token.
        vmm = await self.start(dataclasses.replace(config, token_hex=self.tokens[0]))
        await vmm.pause()
        return vmm

    async def adopt(self, identity: ProcessId, run_dir: Path) -> FakeVmm | None:
        return next((v for v in self.vmms if v.process == identity and v.running), None)

    async def close(self) -> None:
        for agent in self.agents:
            await agent.stop()

    async def _answer(self, exchange: FakeExchange) -> None:
        path = exchange.headers[":path"]
        self.requests.append(f"{exchange.headers[':method']} {path}")
        if path == "/v1/identity":
            await exchange.body_ended.wait()
            self.identities.append(json.loads(exchange.body))
        if self.old_agents and path == "/v1/hold":
            await exchange.answer(b'{"code": "NOT_FOUND", "message": "no such route"}', 404)
            return
        bodies = {"/v1/execs": b'{"execs": []}', "/v1/hold": b'{"still": true}'}
        await exchange.answer(bodies.get(path, b""))


PROFILES = ("isolated", "registry", "allowlisted", "transit")


def make_host(folder: Path, driver: FakeDriver, boot_timeout_s: float = 20) -> Host:
    """A host whose state lies below `folder`, and which gives networks of all PROFILES."""
    image = folder / SHA
    if not image.exists():
        image.write_bytes(b"image")
    images = ImageCache(folder / "images")
    images.link(image)
    return Host(
        driver=driver,
        cgroups=FakeCgroups(),
        images=images,
        make_upper=make_upper,
        make_growing=make_growing,
        open_link=GuestLink,
        kernel=folder / "vmlinux",
        initramfs=folder / "initramfs",
        machines_dir=folder / "machines",
        run_dir=folder / "run",
        store=LocalStore(folder / "stored"),
        snapshots_dir=folder / "snapshots",
        templates_dir=folder / "templates",
        boot_timeout_s=boot_timeout_s,
        spool_limit_bytes=1 << 20,
        boots=asyncio.Semaphore(2),
        wakes=asyncio.Semaphore(2),
        networks=SimulatedNetworks(PROFILES, {}),
    )


def make_snapshots(folder: Path) -> Snapshots:
    """Those of a host that is made of the same folder."""
    return Snapshots(folder / "snapshots", LocalStore(folder / "stored"), lambda: None)


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
