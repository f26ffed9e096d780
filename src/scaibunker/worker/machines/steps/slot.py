"""A machine that is prepared already, if there is one: the steps after this find their work done."""

import asyncio
import contextlib
import shutil

from scaibunker.worker.disks.upper import GROWS_TO_MB
from scaibunker.worker.machines.body import Body


class TakeSlot:
    """Whose machine it is is written down at once: a daemon that finds one that is in nobody's record removes it."""

    name = "prepared machine"

    async def do(self, body: Body) -> None:
        record, spec = body.record, body.spec
        if body.slot is not None or record.ready:
            return
        if record.slot is not None:
            await _give_up(body)
        if body.warm is None or spec.snapshot is not None or spec.disk_mb > GROWS_TO_MB:
            return
        if record.process is not None:
            return
        body.host.images.ensure(spec.image_sha256, spec.image_size)
        slot = await body.warm.take(body.shape, spec.disk_mb)
        if slot is None:
            return
        body.slot, body.vmm = slot, slot.vmm
        record.slot, record.uid, record.process = slot.stand.name, slot.stand.uid, slot.vmm.process
        body.save()
        slot.stand.upper_disk.rename(body.folder.upper_disk)
        with contextlib.suppress(FileNotFoundError):  # it has said nothing
            slot.stand.log.rename(body.folder.vmm_log)
        shutil.rmtree(slot.stand.folder, ignore_errors=True)

    async def undo(self, body: Body) -> None:
        if body.slot is not None:
            body.slot.agent.link.close()
            await asyncio.to_thread(shutil.rmtree, body.slot.stand.folder, ignore_errors=True)


async def _give_up(body: Body) -> None:
    """An earlier daemon died while it made a bunker of it; nobody knows how far it got."""
    vmm = await body.find_vmm()
    if vmm is not None:
        await vmm.stop()
        body.vmm = None
    body.host.cgroups.kill(body.host_name)
    body.host.cgroups.delete(body.host_name)
    await body.host.networks.give_back(body.host_name)
    shutil.rmtree(body.run_dir, ignore_errors=True)
    body.folder.upper_disk.unlink(missing_ok=True)
    body.record.process = body.record.slot = None
    body.save()
