"""The image and the writable layer over it."""

from scaibunker.worker.disks.upper import make_upper
from scaibunker.worker.machines.body import Body


class MakeDisk:
    """The image is shared and stays; the writable layer is the bunker's own and goes with it."""

    name = "disk"

    async def do(self, body: Body) -> None:
        body.host.images.ensure(body.spec.image_sha256, body.spec.image_size)
        if not body.folder.upper_disk.exists():
            await make_upper(body.folder.upper_disk, body.spec.disk_mb)

    async def undo(self, body: Body) -> None:
        body.folder.upper_disk.unlink(missing_ok=True)
