"""A prepared machine: restored from a template, standing still, and nobody's yet.

One that waits in the pool has been let run for a moment before. Under emulation a machine that has just been
restored runs its first request ten times as long as the next, because all its code is translated anew.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable
from typing import TypeVar

from scaibunker.wire.guest.execs import ExecStart
from scaibunker.worker.disks.copy import copy_sparse, unseen
from scaibunker.worker.errors import GuestUnreachable, WorkerFault
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.guest.network import told
from scaibunker.worker.network.port import MachineNetwork
from scaibunker.worker.templates.stand import Stand
from scaibunker.worker.templates.template import DEVICES, DISK, Template
from scaibunker.worker.threads import in_thread
from scaibunker.worker.vmm.port import GuestMemory, VmmHandle, unwatched

T = TypeVar("T")

ANSWERS_WITHIN_S = 30.0
"""A machine that was booted already answers in a fraction of a second."""
REHEARSALS = 2
COMMAND_TIMEOUT_S = 10
OUTPUT_LIMIT = 1 << 20
NO_TOKEN = "0" * 64
"""For the kernel's command line, which a machine that is restored never reads."""


class Slot:
    """`vmm` stands still, with a disk of `disk_mb` MiB. `taken_mb` is what it takes of the host's memory, in MiB, as far as is known."""

    def __init__(self, stand: Stand, vmm: VmmHandle, agent: GuestAgent, disk_mb: int) -> None:
        self.stand = stand
        self.disk_mb = disk_mb
        self.vmm = vmm
        self.agent = agent
        self.taken_mb = 0
        self.ended = asyncio.Event()
        vmm.on_exit(self.ended.set)

    async def warm_up(self) -> None:
        """Let it do what bunkers do first. Raises WorkerFault."""
        await self.vmm.resume()
        await unless(self.ended, self.agent.link.connect(ANSWERS_WITHIN_S))
        await unless(self.ended, rehearse(self.agent, self.stand.network))
        await self.vmm.pause()
        self.taken_mb = await self.vmm.memory_taken_mb()

    async def clear(self) -> None:
        """Take it down. Raises OSError, WorkerFault, TimeoutError if something is left."""
        self.agent.link.close()
        await self.stand.clear(self.vmm)


async def restore(template: Template, memory: int, stand: Stand) -> Slot:
    """Make one of `template`, whose memory is open. Raises WorkerFault, OSError; nothing is left then."""
    vmm: VmmHandle | None = None
    try:
        await stand.lay()
        if stand.macs != template.manifest.macs:
            raise WorkerFault("the template has another network device than machines get now")
        source, disk = template.folder / DISK, stand.upper_disk
        await in_thread(lambda stop: copy_sparse(source, disk, stop, unseen))
        private = GuestMemory(memory, shared=False)
        with (
            stand.config(private, NO_TOKEN) as config,
            (template.folder / DEVICES).open("rb") as devices,
        ):
            vmm = await stand.host.driver.restore(config, devices.fileno(), unwatched)
        token = bytes.fromhex(template.manifest.token_hex)
        agent = GuestAgent(stand.host.open_link(vmm.channel_path, token))
        return Slot(stand, vmm, agent, template.manifest.disk_mb)
    except BaseException:
        with contextlib.suppress(OSError, WorkerFault):
            await asyncio.shield(stand.clear(vmm))
        raise


async def rehearse(agent: GuestAgent, network: MachineNetwork | None) -> None:
    """An identity, and a command: what every bunker begins with. What becomes of the command does not matter, an
    image need not have it. Raises WorkerFault."""
    addresses = told(network.guest) if network else None
    for _ in range(REHEARSALS):
        # Each is a life of its own, for in another one the network is set up anew.
        life = secrets.token_hex(16)
        await agent.set_identity(
            "bunker", {}, generation=life, disown_execs=True, network=addresses
        )
        start = ExecStart(argv=["/bin/true"], timeout_s=COMMAND_TIMEOUT_S)
        stream = await agent.start_exec(f"exe_{secrets.token_hex(8)}", start)
        try:
            await stream.read(OUTPUT_LIMIT)
        finally:
            stream.reset()


async def unless(ended: asyncio.Event, work: Awaitable[T]) -> T:
    """What comes of it, but not longer than its VMM lives. Raises GuestUnreachable."""
    doing = asyncio.ensure_future(work)
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait([doing, ending], return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise GuestUnreachable("the machine stopped before its agent answered")
        return doing.result()
    finally:
        doing.cancel()
        ending.cancel()
        await asyncio.gather(doing, ending, return_exceptions=True)
