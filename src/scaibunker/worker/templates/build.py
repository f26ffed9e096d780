"""Making a template: a machine is booted that is nobody's, rehearses what bunkers begin with, and is kept.

It has no bunker's name, environment or secret: a tenant's machine never becomes a template.
"""

import asyncio
import os
import secrets

from scaibunker.wire.guest.handshake import TOKEN_BYTES
from scaibunker.worker.disks.copy import copy_sparse, unseen
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.templates.memory import new_memory, seal
from scaibunker.worker.templates.shelf import Shelf
from scaibunker.worker.templates.slot import rehearse, unless
from scaibunker.worker.templates.stand import Stand
from scaibunker.worker.templates.template import DEVICES, DISK, Manifest, Template
from scaibunker.worker.threads import in_thread
from scaibunker.worker.vmm.port import GuestMemory, VmmHandle

HOLD_TIMEOUT_S = 30.0
HOLD_LIMIT_S = 60.0


async def build(shelf: Shelf, stand: Stand, basis: str, disk_mb: int) -> Template:
    """Boot it with a disk of that size, and put it on the shelf. Raises WorkerFault, OSError; nothing is left then."""
    shape, token_hex = stand.shape, secrets.token_hex(TOKEN_BYTES)
    memory = new_memory(shape.memory_mb)
    vmm: VmmHandle | None = None
    macs: list[str] = []
    try:
        with shelf.half() as folder:
            try:
                await stand.lay()
                macs = stand.macs
                await stand.host.make_growing(stand.upper_disk, disk_mb)
                with stand.config(GuestMemory(memory, shared=True), token_hex) as config:
                    vmm = await stand.host.driver.start(config)
                await _prepare(stand, vmm, token_hex)
                devices, source, disk = folder / DEVICES, stand.upper_disk, folder / DISK
                with devices.open("xb") as target:
                    devices.chmod(0o600)
                    await vmm.save_devices(target.fileno())
                await in_thread(lambda stop: copy_sparse(source, disk, stop, unseen))
            finally:
                await asyncio.shield(stand.clear(vmm))
            seal(memory)
            manifest = Manifest(
                basis=basis,
                image_sha256=shape.image_sha256,
                image_size=shape.image_size,
                vcpus=shape.vcpus,
                memory_mb=shape.memory_mb,
                nic=shape.nic,
                macs=macs,
                disk_mb=disk_mb,
                token_hex=token_hex,
            )
            return await shelf.put(folder, manifest, os.dup(memory))
    finally:
        os.close(memory)


async def _prepare(stand: Stand, vmm: VmmHandle, token_hex: str) -> None:
    """Until it stands still, with everything that it has written on its disk. Raises WorkerFault."""
    ended = asyncio.Event()
    vmm.on_exit(ended.set)
    link = stand.host.open_link(vmm.channel_path, bytes.fromhex(token_hex))
    try:
        agent = GuestAgent(link)
        await unless(ended, link.connect(stand.host.boot_timeout_s))
        await unless(ended, rehearse(agent, stand.network))
        await unless(
            ended, agent.hold(freeze_disk=False, limit_s=HOLD_LIMIT_S, timeout_s=HOLD_TIMEOUT_S)
        )
        await unless(ended, agent.release())  # there is no program that could write any more
        await vmm.pause()
    finally:
        link.close()
