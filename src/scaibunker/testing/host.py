"""A simulated host: hardware in memory, a folder for the daemon's state, and the real daemon on it.

The daemon listens on a real socket and reports to a real controller. It can be killed, which flushes
nothing, and started again, which recovers what the last one wrote down from the hardware that ran on.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import web
from pydantic import SecretStr

from scaibunker.testing.faults import Faults
from scaibunker.testing.hardware import Hardware, SimulatedVmm
from scaibunker.testing.lives import Life, detached
from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.heartbeat import Capacity, Heartbeat
from scaibunker.worker.api.errors import Handler
from scaibunker.worker.daemon import Daemon, Surroundings
from scaibunker.worker.machines.host import Host
from scaibunker.worker.settings import WorkerSettings

CAPACITY = Capacity(cpu_millicores=64_000, memory_mb=262_144, disk_mb=1_048_576)
BOOT_TIMEOUT_S = 30.0
CONCURRENT_BOOTS = 8
DIES_WITHIN_S = 10.0


class SimulatedHost:
    """One worker. `name` is its worker id too, after `wrk_`; `images` maps each image's SHA-256 to its
    size; `boot_s` and `boot_timeout_s` are seconds of a machine's boot. With `warm_starts` machines that are nobody's
    yet are among its machines.

    `faults` may be changed at any time.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        controller_url: str,
        token: str,
        images: Mapping[str, int],
        capacity: Capacity = CAPACITY,
        heartbeat_interval_s: float = 10.0,
        boot_s: float = 0.0,
        boot_timeout_s: float = BOOT_TIMEOUT_S,
        concurrent_boots: int = CONCURRENT_BOOTS,
        warm_starts: bool = False,
        warm_slots: int = 1,
        warm_disk_mb: int = 1024,
        network_profiles: Sequence[str] = (NetworkProfile.ISOLATED,),
    ) -> None:
        self.id = f"wrk_{name}"
        self.address = ""
        """Where the daemon's API is, or was."""
        self.faults = Faults()
        self.hardware = Hardware(self.faults, images, boot_s, network_profiles)
        self._settings = WorkerSettings(
            token=SecretStr(token),
            data_dir=folder / name,
            runtime_dir=folder / name / "run",
            controller_url=controller_url,
            name=name,
            boot_timeout_s=boot_timeout_s,
            concurrent_boots=concurrent_boots,
            heartbeat_interval_s=heartbeat_interval_s,
            capacity_cpu_millicores=capacity.cpu_millicores,
            capacity_memory_mb=capacity.memory_mb,
            capacity_disk_mb=capacity.disk_mb,
            warm_starts=warm_starts,
            warm_slots=warm_slots,
            warm_disk_mb=warm_disk_mb,
        )
        self._life: Life | None = None
        self._daemon: Daemon | None = None
        self._running: asyncio.Task[None] | None = None
        self._dead = asyncio.Event()
        self._dead.set()

    @property
    def alive(self) -> bool:
        """Whether its daemon runs."""
        return self._life is not None and not self._life.over

    @property
    def machines(self) -> Mapping[str, SimulatedVmm]:
        """What runs on it, by the bunker's id; whether or not there is a daemon that knows."""
        return self.hardware.running

    async def start(self) -> None:
        """Start the daemon; returns when its API is open. Raises WorkerFault if it cannot."""
        if self.alive:
            raise RuntimeError(f"{self.id} runs already")
        life = self._life = Life()
        self._dead.clear()
        data = self._settings.data_dir
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "worker-id").write_text(self.id)
        opened = asyncio.Event()
        self._daemon = Daemon(self._settings, self._surroundings(life, opened))
        self._running = life.run(self._daemon.run(), f"daemon {self.id}")
        opening = asyncio.create_task(opened.wait())
        await asyncio.wait([self._running, opening], return_when=asyncio.FIRST_COMPLETED)
        opening.cancel()
        if self._running.done() and not self._running.cancelled():
            life.end()
            self._dead.set()
            self._running.result()

    async def stop(self) -> None:
        """End the daemon as SIGTERM does; its machines run on."""
        if self.alive and self._daemon is not None and self._running is not None:
            self._daemon.stop()
            await self._running
            await self.kill()  # of what may be left

    async def kill(self) -> None:
        """End the daemon as SIGKILL does: nothing is flushed, connections break, machines run on."""
        if self._life is not None:
            self._life.end()
            await self._life.ended()
            self._dead.set()

    async def died(self) -> None:
        """Wait until the daemon is dead that was made to die by a fault."""
        async with asyncio.timeout(DIES_WITHIN_S):
            await self._dead.wait()

    def lose_machines(self) -> None:
        """All its machines end, as when the power fails; what was written down of them stays."""
        self.hardware.lose()

    def lose_disk(self) -> None:
        """All its machines end, and nothing that was written down of them stays. Only while there is
        no daemon."""
        if self.alive:
            raise RuntimeError(f"the daemon of {self.id} runs")
        self.hardware.lose()
        self.hardware.groups.clear()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._settings.data_dir / "machines")

    async def close(self) -> None:
        """Nothing of it goes on."""
        await self.kill()
        self.hardware.lose()

    def _surroundings(self, life: Life, opened: asyncio.Event) -> Surroundings:
        async def equip(settings: WorkerSettings, worker_id: str) -> Host:
            return self.hardware.host(life, settings, worker_id)

        def outgoing(report: Heartbeat) -> Heartbeat:
            life.check()
            self.address = report.address
            opened.set()  # the API opens before the first report
            return self.faults.said(report)

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            life.check()
            life.holds(request.transport)
            await self.faults.heard()
            response = await handler(request)
            if self.faults.slow_s:
                await asyncio.sleep(self.faults.slow_s)
            accepted = request.method == "PUT" and response.status == 202
            if accepted and self.faults.dies_after_accepting:
                await response.prepare(request)
                await response.write_eof()
                life.end()  # cancels this very handler too: the answer is out
                detached(self.kill(), f"death of {self.id}")
            return response

        return Surroundings(equip=equip, gates=(gate,), outgoing=outgoing)
