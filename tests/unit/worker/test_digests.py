"""Comparing disks by what is known of one of them, and making one of the other and the differences."""

import os
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.worker.disks import holes
from scaibunker.worker.disks.digests import BLOCK, Change, changes, digest_map, map_length
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.room import Room
from scaibunker.worker.snapshots import forms, packing

NO_LIMIT = Room(Path("/"), 0)
NEVER = threading.Event()
SIZE = 40 * BLOCK


def _disk(path: Path, size: int = SIZE) -> Path:
    path.touch()
    os.truncate(path, size)
    return path


def _write(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as disk:
        disk.seek(offset)
        disk.write(data)


def _changes(old: Path, new: Path) -> list[Change]:
    size = new.stat().st_size
    return list(changes(digest_map(old, NEVER), digest_map(new, NEVER), size))


def test_what_is_empty_is_empty_whether_it_is_written_or_not(tmp_path: Path) -> None:
    hole, zeros = _disk(tmp_path / "hole"), _disk(tmp_path / "zeros")
    _write(zeros, 0, bytes(SIZE))
    assert digest_map(hole, NEVER) == digest_map(zeros, NEVER) == bytes(map_length(SIZE))
    assert _changes(hole, zeros) == []


def test_changes_are_told_by_blocks_and_joined(tmp_path: Path) -> None:
    old, new = _disk(tmp_path / "old"), _disk(tmp_path / "new")
    for path in (old, new):
        _write(path, 5 * BLOCK, b"a" * BLOCK)
        _write(path, 20 * BLOCK + 7, b"b")
    _write(new, 0, b"x")  # one byte
    _write(new, 6 * BLOCK - 1, b"xx")  # over a border
    _write(new, 20 * BLOCK + 7, b"\0")  # emptied
    _write(new, SIZE - 1, b"x")
    assert _changes(old, new) == [
        Change(0, BLOCK, empty=False),
        Change(5 * BLOCK, 7 * BLOCK, empty=False),
        Change(20 * BLOCK, 21 * BLOCK, empty=True),
        Change(SIZE - BLOCK, SIZE, empty=False),
    ]


def test_a_disk_that_grew_and_does_not_end_with_a_block(tmp_path: Path) -> None:
    old, new = _disk(tmp_path / "old", 2 * BLOCK), _disk(tmp_path / "new", 3 * BLOCK + 100)
    for path in (old, new):
        _write(path, 0, b"a")
    assert _changes(old, new) == []
    _write(new, 3 * BLOCK + 99, b"x")
    assert _changes(old, new) == [Change(3 * BLOCK, 3 * BLOCK + 100, empty=False)]


@pytest.mark.parametrize("seed", range(6))
async def test_a_disk_is_made_of_another_and_the_differences(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    old = _disk(tmp_path / "old", chance.choice([SIZE, SIZE - 3 * BLOCK - 5]))
    size = old.stat().st_size
    for _ in range(8):
        _write(old, chance.randrange(size - 9000), chance.randbytes(chance.randrange(1, 9000)))
    new = tmp_path / "new"
    new.write_bytes(old.read_bytes())
    os.truncate(new, SIZE)
    for _ in range(6):
        begin = chance.randrange(SIZE - 5 * BLOCK)
        length = chance.randrange(1, 4 * BLOCK)
        if chance.random() < 0.5:
            with new.open("r+b") as disk:
                holes.punch(disk.fileno(), begin, length, NEVER)
        else:
            _write(new, begin, chance.randbytes(length))
    differs = _changes(old, new)
    await packing.pack(forms.delta_feed(new, differs, _ignore), tmp_path / "delta", NO_LIMIT)
    await packing.unpack(_chunks(tmp_path / "delta"), forms.delta_drain(old, SIZE, NO_LIMIT))
    assert old.read_bytes() == new.read_bytes()


async def test_what_was_emptied_is_a_hole_again(tmp_path: Path) -> None:
    old, new = _disk(tmp_path / "old"), _disk(tmp_path / "new")
    _write(old, 0, os.urandom(SIZE))
    _write(new, 0, old.read_bytes()[:BLOCK])
    await packing.pack(
        forms.delta_feed(new, _changes(old, new), _ignore), tmp_path / "delta", NO_LIMIT
    )
    assert (tmp_path / "delta").stat().st_size < 100
    await packing.unpack(_chunks(tmp_path / "delta"), forms.delta_drain(old, SIZE, NO_LIMIT))
    assert old.read_bytes() == new.read_bytes()
    assert old.stat().st_blocks * 512 <= 2 * BLOCK


def test_zeros_are_written_where_there_are_no_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoHoles:
        def fallocate(self, *_arguments: int) -> int:
            return -1

    path = tmp_path / "file"
    path.write_bytes(b"x" * SIZE)
    monkeypatch.setattr(holes, "_libc", NoHoles())
    monkeypatch.setattr(holes.ctypes, "get_errno", lambda: 95)
    with path.open("r+b") as file:
        holes.punch(file.fileno(), 10, SIZE - 20, NEVER)
    assert path.read_bytes() == b"x" * 10 + bytes(SIZE - 20) + b"x" * 10


@pytest.mark.parametrize(
    "stream",
    [
        forms.MAGIC + forms.SIZE.pack(SIZE),
        forms.DELTA_MAGIC + forms.SIZE.pack(SIZE + 1),
        forms.DELTA_MAGIC + forms.SIZE.pack(SIZE) + forms.EXTENT.pack(0, forms.HOLE | SIZE + 1),
        forms.DELTA_MAGIC + forms.SIZE.pack(SIZE) + forms.EXTENT.pack(1 << 63, forms.HOLE | 1),
        forms.DELTA_MAGIC + forms.SIZE.pack(SIZE) + forms.EXTENT.pack(0, 0),
        forms.DELTA_MAGIC
        + forms.SIZE.pack(SIZE)
        + forms.EXTENT.pack(10, forms.HOLE | 10)
        + forms.EXTENT.pack(0, forms.HOLE | 1),
    ],
)
async def test_differences_that_somebody_made_up_write_nothing_outside(
    tmp_path: Path, stream: bytes
) -> None:
    base = _disk(tmp_path / "base")
    (tmp_path / "stream").write_bytes(stream)
    await packing.pack(forms.file_feed(tmp_path / "stream", _ignore), tmp_path / "delta", NO_LIMIT)
    with pytest.raises(WorkerFault):
        await packing.unpack(_chunks(tmp_path / "delta"), forms.delta_drain(base, SIZE, NO_LIMIT))
    assert base.stat().st_size == SIZE


async def test_differences_are_not_taken_for_a_whole_disk(tmp_path: Path) -> None:
    new = _disk(tmp_path / "new")
    empty = [Change(0, BLOCK, empty=True)]
    await packing.pack(forms.delta_feed(new, empty, _ignore), tmp_path / "delta", NO_LIMIT)
    with pytest.raises(WorkerFault, match="not in a form"):
        await packing.unpack(
            _chunks(tmp_path / "delta"), forms.disk_drain(tmp_path / "out", SIZE, NO_LIMIT)
        )


def _ignore(_count: int) -> None:
    """Progress that nobody looks at."""


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    yield path.read_bytes()
