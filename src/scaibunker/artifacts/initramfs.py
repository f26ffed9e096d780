"""What a bunker's kernel finds when it starts: the guest agent and the modules it loads.

The agent is `/init`; `/modules/order` names the files beside it in load order, one a line. The
archive is not compressed: under software emulation the kernel unpacks 8 MB in 0.1 s as they are,
in 0.2 s with gzip or zstd, and reading them costs nothing. The agent mounts the disks and switches
root; nothing of this archive is left in the bunker's view.
"""

from collections.abc import Sequence

from scaibunker.artifacts.cpio import archive, directory, file
from scaibunker.artifacts.modules import Module

MOUNT_POINTS = ("dev", "proc", "sys")


def build(agent: bytes, modules: Sequence[Module]) -> bytes:
    """Return the initramfs; the same inputs give the same bytes."""
    files = [(f"{index:02d}-{m.name}.ko", m.content) for index, m in enumerate(modules)]
    order = "".join(f"{name}\n" for name, _content in files)
    return archive(
        [
            *(directory(name) for name in MOUNT_POINTS),
            file("init", agent, 0o755),
            directory("modules"),
            *(file(f"modules/{name}", content) for name, content in files),
            file("modules/order", order.encode()),
        ]
    )
