"""Snapshot parts: what comes out is what went in, holes included; what is not whole is refused."""

import asyncio
import os
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaibunker.worker.disks.copy import copy_sparse
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.room import Room
from scaibunker.worker.snapshots import forms, packing
from scaibunker.worker.snapshots.packing import Packed
from scaibunker.worker.threads import Stopped
from tests.mounts import tmpfs
from tests.waiting import until

MIB = 1024 * 1024
SIZE = 512 * MIB


NO_LIMIT = Room(Path("/"), 0)


def _ignore(_count: int) -> None:
    """Progress that nobody looks at."""


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    data = path.read_bytes()
    for begin in range(0, len(data), 100_000):
        yield data[begin : begin + 100_000]


async def _pack_disk(source: Path, target: Path) -> Packed:
    return await packing.pack(forms.disk_feed(source, _ignore), target, NO_LIMIT)


async def _pack_file(source: Path, target: Path) -> Packed:
    return await packing.pack(forms.file_feed(source, _ignore), target, NO_LIMIT)


async def _unpack_disk(source: Path, target: Path, size: int) -> None:
    await packing.unpack(_chunks(source), forms.disk_drain(target, size, NO_LIMIT))


async def _unpack_file(source: Path, target: Path, size: int) -> None:
    await packing.unpack(_chunks(source), forms.file_drain(target, size, NO_LIMIT))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "a disk"
    with path.open("wb") as file:
        os.truncate(file.fileno(), SIZE)
        for offset in (0, 7 * MIB, SIZE - 4096):
            file.seek(offset)
            file.write(os.urandom(4096))
    return path


def _allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_a_disk_is_copied_with_its_holes(disk: Path, tmp_path: Path) -> None:
    counted: list[int] = []
    copy_sparse(disk, tmp_path / "copy", threading.Event(), counted.append)
    assert subprocess.run(["cmp", disk, tmp_path / "copy"], check=False).returncode == 0
    assert _allocated(tmp_path / "copy") < MIB
    assert sum(counted) < MIB
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("where", ["everything", "nothing"])
async def test_disks_of_extremes(tmp_path: Path, where: str) -> None:
    content = os.urandom(3 * MIB + 17) if where == "everything" else b"\0" * 5
    path = tmp_path / "disk"
    path.write_bytes(content) if where == "everything" else path.touch()
    os.truncate(path, len(content))
    copy_sparse(path, tmp_path / "copy", threading.Event(), _ignore)
    await _pack_disk(path, tmp_path / "packed")
    await _unpack_disk(tmp_path / "packed", tmp_path / "out", len(content))
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "out").read_bytes() == content


async def test_a_disk_is_packed_without_its_holes(disk: Path, tmp_path: Path) -> None:
    packed, out = tmp_path / "packed", tmp_path / "out"
    await _pack_disk(disk, packed)
    assert packed.stat().st_size < MIB
    await _unpack_disk(packed, out, SIZE)
    assert subprocess.run(["cmp", disk, out], check=False).returncode == 0
    assert _allocated(out) < MIB


async def test_a_file_is_packed_whole(tmp_path: Path) -> None:
    content = os.urandom(MIB) + b"\0" * MIB
    (tmp_path / "file").write_bytes(content)
    await _pack_file(tmp_path / "file", tmp_path / "packed")
    await _unpack_file(tmp_path / "packed", tmp_path / "out", len(content))
    assert (tmp_path / "out").read_bytes() == content


@pytest.mark.parametrize("size", [SIZE - 4096, SIZE + 4096])
async def test_a_disk_of_another_size_is_refused(disk: Path, tmp_path: Path, size: int) -> None:
    await _pack_disk(disk, tmp_path / "packed")
    with pytest.raises(WorkerFault, match="another size"):
        await _unpack_disk(tmp_path / "packed", tmp_path / "out", size)


@pytest.mark.parametrize("size", [MIB - 1, MIB + 1])
async def test_a_file_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(os.urandom(MIB))
    await _pack_file(tmp_path / "file", tmp_path / "packed")
    with pytest.raises(WorkerFault, match=r"longer than|too early"):
        await _unpack_file(tmp_path / "packed", tmp_path / "out", size)


def _execs(*entries: tuple[bytes, int, bytes], end: bytes = forms.LENGTHS.pack(0, 0)) -> bytes:
    """Output of commands: of each its name, the length that is said, and what there is."""
    parts = [forms.LENGTHS.pack(len(name), size) + name + data for name, size, data in entries]
    return forms.EXECS_MAGIC + b"".join(parts) + end


@pytest.mark.parametrize(
    "stream",
    [
        b"SBDISK1\n",
        _execs((b"exe_a/../../etc", 1, b"x")),
        _execs((b"", 1, b"x")),
        _execs((b"exe_abcd1", 1, b"x"), (b"exe_abcd1", 1, b"x")),
        _execs((b"exe_abcd1", 11, b"x" * 11)),  # more than the manifest says
        _execs((b"exe_abcd1", 5, b"x")),
        _execs((b"exe_abcd1", 1, b"x"), end=b""),
        _execs((b"exe_abcd1", 1, b"x")) + b"x",
    ],
)
async def test_output_of_commands_that_makes_no_sense_is_refused(
    tmp_path: Path, stream: bytes
) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(stream)
    await _pack_file(plain, packed)
    drain = forms.execs_drain(tmp_path / "execs", 10, NO_LIMIT)
    with pytest.raises(WorkerFault):
        await packing.unpack(_chunks(packed), drain)
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "packed", "execs"}


async def test_half_a_part_is_refused(disk: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    await _pack_disk(disk, packed)
    os.truncate(packed, packed.stat().st_size // 2)
    with pytest.raises(WorkerFault):
        await _unpack_disk(packed, tmp_path / "out", SIZE)


@pytest.mark.parametrize(
    "stream",
    [
        b"not a disk",
        forms.MAGIC + forms.SIZE.pack(4096) + forms.EXTENT.pack(4000, 97),
        forms.MAGIC + forms.SIZE.pack(4096) + forms.EXTENT.pack(1 << 63, 1),
        forms.MAGIC
        + forms.SIZE.pack(4096)
        + forms.EXTENT.pack(10, 1)
        + b"x"
        + forms.EXTENT.pack(0, 1),
    ],
)
async def test_streams_that_somebody_made_up_write_nothing_outside(
    tmp_path: Path, stream: bytes
) -> None:
    (tmp_path / "stream").write_bytes(stream)
    await _pack_file(tmp_path / "stream", tmp_path / "packed")
    with pytest.raises(WorkerFault):
        await _unpack_disk(tmp_path / "packed", tmp_path / "out", 4096)
    assert (tmp_path / "out").stat().st_size <= 4096


async def test_work_that_is_given_up_ends_and_leaves_no_process(disk: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        copy_sparse(disk, tmp_path / "copy", stop, _ignore)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def feed(pipe: int, stop: threading.Event) -> None:
        loop.call_soon_threadsafe(begun.set)
        while not stop.is_set():
            os.write(pipe, os.urandom(1000))
        raise Stopped

    async def endless() -> AsyncIterator[bytes]:
        begun.set()
        await asyncio.Event().wait()
        yield b""

    threads = threading.active_count()
    drain = forms.file_drain(tmp_path / "out", 1, NO_LIMIT)
    for work in (
        packing.pack(feed, tmp_path / "packed", NO_LIMIT),
        packing.unpack(endless(), drain),
    ):
        begun.clear()
        task = asyncio.create_task(work)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: threading.active_count() <= threads)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [c for c in children if "zstd" in Path(f"/proc/{c}/cmdline").read_text()]


async def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(4 * MIB))
    with tmpfs(tmp_path / "small", 2 * MIB) as small:
        with pytest.raises(OSError, match="No space"):
            await _pack_file(tmp_path / "file", small / "packed")
        (small / "packed").unlink()
        await _pack_file(tmp_path / "file", tmp_path / "packed")
        with pytest.raises(OSError, match="No space"):
            await packing.unpack(
                _chunks(tmp_path / "packed"),
                forms.file_drain(small / "out", 4 * MIB, NO_LIMIT),
            )
        (small / "out").unlink()
        # What is kept for others is not taken.
        with pytest.raises(WorkerFault, match="MiB to give"):
            await packing.unpack(
                _chunks(tmp_path / "packed"),
                forms.file_drain(small / "out", 4 * MIB, Room(small, MIB)),
            )
        assert os.statvfs(small).f_bavail * os.statvfs(small).f_frsize >= MIB
