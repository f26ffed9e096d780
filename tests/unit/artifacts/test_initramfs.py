"""What the guest agent relies on finding."""

from scaibunker.artifacts.initramfs import build
from scaibunker.artifacts.modules import Module
from tests.unit.artifacts.archives import read_back

MODULES = [Module("virtio_ring", b"ring"), Module("virtio", b"virtio")]


def test_the_agent_is_init_and_the_modules_are_in_load_order() -> None:
    entries = {path: (mode, content) for path, mode, content in read_back(build(b"agent", MODULES))}
    assert entries["init"] == (0o100755, b"agent")
    assert entries["modules/order"][1] == b"00-virtio_ring.ko\n01-virtio.ko\n"
    assert entries["modules/00-virtio_ring.ko"][1] == b"ring"
    assert {"proc", "sys", "dev", "modules"} <= entries.keys()


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert build(b"agent", MODULES) == build(b"agent", list(MODULES))
    assert build(b"agent", MODULES) != build(b"other", MODULES)
