"""Templates on the host's disk: whole or not there, bounded, and never trusted unread."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.templates.memory import MIB, new_memory, seal
from scaibunker.worker.templates.shape import Basis, Shape
from scaibunker.worker.templates.shelf import Shelf
from scaibunker.worker.templates.template import DEVICES, DISK, MEMORY, Manifest, Template

MEMORY_MB, WRITTEN_MB = 16, 2


def shape(number: int) -> Shape:
    return Shape(f"{number:064}", 1, 1, MEMORY_MB)


class Shelves:
    """One folder, and what one daemon after the other makes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: list[Shelf] = []

    def open(self, limit_mb: int = 100, memory_limit_mb: int = 100) -> Shelf:
        shelf = Shelf(self.folder, limit_mb * MIB, memory_limit_mb)
        shelf.take_over()
        self._opened.append(shelf)
        return shelf

    async def put(
        self, shelf: Shelf, number: int, used_at: float = 0, basis: str = "now"
    ) -> Template:
        """One of about 2 MiB, that was used at that time."""
        memory = new_memory(MEMORY_MB)
        for position in (0, 9):
            os.pwrite(memory, os.urandom(MIB), position * MIB)
        seal(memory)
        made = shape(number)
        with shelf.half() as folder:
            (folder / DEVICES).write_bytes(b"devices")
            (folder / DISK).write_bytes(b"disk")
            manifest = Manifest(
                basis=basis,
                image_sha256=made.image_sha256,
                image_size=made.image_size,
                vcpus=made.vcpus,
                memory_mb=made.memory_mb,
                disk_mb=64,
                token_hex="00" * 32,
            )
            template = await shelf.put(folder, manifest, memory)
        template.use(used_at)
        return template

    def close(self) -> None:
        for shelf in self._opened:
            shelf.close()


@pytest.fixture
async def shelves(tmp_path: Path) -> AsyncIterator[Shelves]:
    made = Shelves(tmp_path / "ready")
    yield made
    made.close()


def numbers(shelf: Shelf) -> set[int]:
    return {int(template.shape.image_sha256) for template in shelf}


async def test_the_next_daemon_reads_back_what_was_kept(shelves: Shelves) -> None:
    first = shelves.open()
    template = await shelves.put(first, 1)
    assert template.size < 3 * MIB  # what was never written to takes nothing
    async with first.opened(template) as memory:
        before = os.pread(memory, MEMORY_MB * MIB, 0)
    first.close()
    assert first.memory_taken_mb == 0
    second = shelves.open()
    found = second.find("now", shape(1))
    assert found is not None
    assert second.memory_taken_mb == 0
    async with second.opened(found) as memory:
        assert os.pread(memory, MEMORY_MB * MIB, 0) == before
        with pytest.raises(PermissionError):
            os.pwrite(memory, b"x", 0)
    assert second.memory_taken_mb == WRITTEN_MB
    assert second.find("now", shape(2)) is None
    assert second.find("then", shape(1)) is None


@pytest.mark.parametrize("part", [MEMORY, DEVICES, DISK])
async def test_one_changed_byte_is_noticed(shelves: Shelves, part: str) -> None:
    template = await shelves.put(shelves.open(), 1)
    path = template.folder / part
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    shelf = shelves.open()
    found = shelf.find("now", shape(1))
    assert found is not None
    with pytest.raises(WorkerFault, match=f"{part} is not what was stored"):
        async with shelf.opened(found):
            pass
    assert found.users == 0
    shelf.discard(found)
    assert list(shelves.folder.iterdir()) == []


async def test_halves_and_nonsense_are_removed(shelves: Shelves) -> None:
    template = await shelves.put(shelves.open(), 1)
    (shelves.folder / ".new-0123").mkdir()
    (shelves.folder / "nonsense").mkdir()
    (shelves.folder / "nonsense/manifest.json").write_text('{"version": 2}')
    moved = shelves.folder / "00ff"
    template.folder.rename(moved)
    await shelves.put(shelves.open(), 2)
    assert numbers(shelves.open()) == {2}
    assert len(list(shelves.folder.iterdir())) == 1


async def test_what_was_used_longest_ago_goes_first_and_nothing_that_is_read(
    shelves: Shelves,
) -> None:
    shelf = shelves.open(limit_mb=7)
    oldest = await shelves.put(shelf, 1, used_at=100)
    await shelves.put(shelf, 2, used_at=200)
    await shelves.put(shelf, 3, used_at=300)
    async with shelf.opened(oldest):
        oldest.used_at = 100
        await shelves.put(shelf, 4, used_at=400)
        assert numbers(shelf) == {1, 3, 4}
    oldest.use(100)
    await shelves.put(shelf, 5, used_at=500)
    assert numbers(shelf) == {3, 4, 5}
    assert numbers(shelves.open(limit_mb=5)) == {4, 5}
    with pytest.raises(WorkerFault, match="more than may be kept"):
        await shelves.put(shelves.open(limit_mb=1), 6)
    assert numbers(shelves.open()) == set()  # there was no way to keep to that limit


async def test_memory_is_let_go_of_but_for_what_is_used(shelves: Shelves) -> None:
    shelf = shelves.open(memory_limit_mb=2 * WRITTEN_MB)
    for number in (1, 2, 3):
        await shelves.put(shelf, number, used_at=number)
    assert shelf.memory_taken_mb == 2 * WRITTEN_MB
    first = shelf.find("now", shape(1))
    assert first is not None
    async with shelf.opened(first) as memory:
        assert os.pread(memory, 1, MIB) == b"\0"
        assert first.memory_taken_mb == WRITTEN_MB
        assert shelf.memory_taken_mb == 2 * WRITTEN_MB
    assert numbers(shelf) == {1, 2, 3}


async def test_stale_ones_go(shelves: Shelves) -> None:
    shelf = shelves.open()
    await shelves.put(shelf, 1, basis="then")
    await shelves.put(shelf, 2, basis="now")
    shelf.drop_stale("now")
    assert numbers(shelf) == numbers(shelves.open()) == {2}


async def test_the_basis_changes_with_kernel_agent_and_vmm(tmp_path: Path) -> None:
    kernel, initramfs = tmp_path / "kernel", tmp_path / "initramfs"
    kernel.write_bytes(b"kernel")
    initramfs.write_bytes(b"agent 1")
    basis = Basis(kernel, initramfs, "vmm 1")
    first = await basis.digest()
    assert await basis.digest() == first
    assert await Basis(kernel, initramfs, "vmm 2").digest() != first
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"agent 2")
    fresh.rename(initramfs)  # as an upgrade replaces it, while the daemon runs
    assert await basis.digest() != first
    fresh.write_bytes(b"agent 1")
    fresh.rename(initramfs)
    assert await basis.digest() == first
