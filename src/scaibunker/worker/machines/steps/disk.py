"""The image and the writable layer over it: an empty one, or what a snapshot or a template holds."""

import shutil

from scaibunker.wire.worker.snapshots import SnapshotSource
from scaibunker.worker.machines.body import Body
from scaibunker.worker.machines.steps.network import take_anew
from scaibunker.worker.snapshots.restoring import Target, restore


class MakeDisk:
    """The image is shared and stays; the writable layer is the bunker's own and goes with it."""

    name = "disk"

    async def do(self, body: Body) -> None:
        body.host.images.ensure(body.spec.image_sha256, body.spec.image_size)
        source = body.spec.snapshot
        if body.slot is not None:
            if body.slot.disk_mb != body.spec.disk_mb:
                await body.slot.vmm.resize_disk(body.spec.disk_mb)
        elif source is not None and not body.record.ready:
            await self._restore(body, source)
        elif not body.folder.upper_disk.exists():
            await body.host.make_upper(body.folder.upper_disk, body.spec.disk_mb)

    async def undo(self, body: Body) -> None:
        body.folder.upper_disk.unlink(missing_ok=True)
        body.folder.base.unlink(missing_ok=True)
        shutil.rmtree(body.folder.restore, ignore_errors=True)

    async def _restore(self, body: Body, source: SnapshotSource) -> None:
        """Memory and disk must be of one moment: what an earlier daemon began is begun anew. So is the network: the
        memory is another machine's until it has the identity, and that daemon may have opened it."""
        vmm = await body.find_vmm()
        if vmm is not None:
            await vmm.stop()
            body.vmm = None
        body.host.cgroups.kill(body.host_name)
        if body.record.process is not None:
            await take_anew(body)
            body.record.process = None
            body.save()
        host = body.host
        target = Target(
            body.spec,
            body.vcpus,
            body.memory_mb,
            host.driver.state_format,
            host.reserve_bytes,
            body.macs,
        )
        body.folder.base.unlink(missing_ok=True)
        body.restored = await restore(
            host.store, source, target, body.folder.restore, body.folder.upper_disk
        )
        if body.restored.base is not None:
            body.restored.base.rename(body.folder.base)
        if body.restored.execs is not None:
            for output in body.restored.execs.iterdir():
                output.rename(body.folder.spools / output.name)
            body.restored.execs.rmdir()
