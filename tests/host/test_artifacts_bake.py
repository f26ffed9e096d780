"""Baking tarballs, hostile ones too, with the real image baker; the image is read with e2fsprogs."""

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import struct
import subprocess
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from scaibunker.artifacts import golang
from scaibunker.artifacts.bake import Limits, TarballRefused, bake
from scaibunker.artifacts.records import ArtifactsError
from scaibunker.artifacts.settings import from_environment
from scaibunker.artifacts.store import Store, digest
from tests.host.ext4 import assert_sound, debugfs, names

SMALL = Limits(content_bytes=64 << 20, entries=20_000, seconds=120)
CAPABILITY = bytes.fromhex("010000020004000000000000000000000000")
MANY = 5000


@pytest.fixture(scope="session")
def baker() -> Path:
    settings = from_environment()
    assert settings.sources is not None
    store = Store(settings.cache_dir)
    return golang.build(store, settings.sources / "image-baker", "image-baker", lambda _: None).path


class Tarball:
    """A tarball written entry by entry, as a hostile author would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(self, name: str, content: bytes = b"", **fields: Any) -> "Tarball":
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(content), 0o644, 1_700_000_000
        for field, value in fields.items():
            setattr(info, field, value)
        self._tar.addfile(info, io.BytesIO(content))
        return self

    def close(self) -> Path:
        self._tar.close()
        return self.path


@pytest.fixture
def tarball(tmp_path: Path) -> Tarball:
    return Tarball(tmp_path / "rootfs.tar")


def full(tarball: Tarball) -> Path:
    """One of everything that a root file system can hold."""
    tarball.add("./", type=tarfile.DIRTYPE, mode=0o755)
    tarball.add("bin/su", b"root", mode=0o4755, uid=0, gid=42)
    tarball.add("home/me/", type=tarfile.DIRTYPE, mode=0o700, uid=1000, gid=400_000)
    tarball.add("hard", type=tarfile.LNKTYPE, linkname="./bin/su")
    tarball.add("soft", type=tarfile.SYMTYPE, linkname="../../../../etc/shadow")
    tarball.add("long", type=tarfile.SYMTYPE, linkname="t" * 4000)
    tarball.add("dev/sda", type=tarfile.BLKTYPE, devmajor=8, devminor=300)
    tarball.add("fifo", type=tarfile.FIFOTYPE)
    tarball.add("n" * 255, b"long name")
    tarball.add("ünï/日本語", "ü".encode())
    capability = CAPABILITY.decode("utf-8", "surrogateescape")
    tarball.add("bin/ping", b"x", pax_headers={"SCHILY.xattr.security.capability": capability})
    opaque = {"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.note": "kept"}
    tarball.add("marked", b"x", pax_headers=opaque)
    tarball.add("zeros", bytes(8 << 20) + b"end")
    for index in range(MANY):
        tarball.add(f"many/file-{index}", b"%d" % index)
    return tarball.close()


def test_everything_survives_and_the_checker_finds_nothing(
    baker: Path, tarball: Tarball, tmp_path: Path
) -> None:
    image = tmp_path / "image.ext4"
    bake(baker, full(tarball), image, SMALL)
    assert_sound(image)

    su = debugfs(image, "stat /bin/su")
    assert "Mode:  04755" in su
    assert "Links: 2" in su
    assert re.search(r"Group:\s+42\b", su)
    assert debugfs(image, "stat /hard").splitlines()[0] == su.splitlines()[0]  # the same inode
    home = debugfs(image, "stat /home/me")
    assert "Mode:  0700" in home
    assert re.search(r"User:\s+1000\s+Group:\s+400000\b", home)
    assert "../../../../etc/shadow" in debugfs(image, "stat /soft")
    assert re.search(r"Size: 4000\b", debugfs(image, "stat /long"))
    assert "08:300" in debugfs(image, "stat /dev/sda")
    assert "FIFO" in debugfs(image, "stat /fifo")
    assert debugfs(image, f"cat /{'n' * 255}") == "long name"
    assert debugfs(image, "cat /ünï/日本語") == "ü"
    listed = debugfs(image, "ea_get -x /bin/ping security.capability")
    assert CAPABILITY.hex() in re.sub(r"[^0-9a-f]", "", listed.partition("=")[2])
    marked = debugfs(image, "ea_list /marked")
    assert "user.note" in marked
    assert "trusted" not in marked
    assert len(re.findall(r"\bfile-\d+", debugfs(image, "ls /many"))) == MANY
    assert debugfs(image, f"cat /many/file-{MANY - 1}") == str(MANY - 1)
    assert image.stat().st_blocks * 512 < image.stat().st_size - (7 << 20)  # the zeros are a hole


def test_equal_content_gives_equal_bytes_however_it_is_packed(
    baker: Path, tarball: Tarball, tmp_path: Path
) -> None:
    plain = full(tarball)
    content = plain.read_bytes()
    packed = {
        "again": content,
        "gz": gzip.compress(content, 1),
        "bz2": bz2.compress(content, 1),
        "xz": lzma.compress(content, preset=0),
        "two-xz": lzma.compress(content[:5000], preset=0)
        + bytes(8)
        + lzma.compress(content[5000:], preset=0),
    }
    if zstd := shutil.which("zstd"):
        packed["zst"] = subprocess.run(
            [zstd, "-qc", plain], capture_output=True, timeout=60, check=True
        ).stdout
    reference = tmp_path / "reference.ext4"
    bake(baker, plain, reference, SMALL)
    for name, data in packed.items():
        source, image = tmp_path / name, tmp_path / f"{name}.ext4"
        source.write_bytes(data)
        bake(baker, source, image, SMALL)
        assert digest(image) == digest(reference), name


@pytest.mark.parametrize(
    ("entry", "fields", "rule"),
    [
        ("../evil", {}, r"\.\."),
        ("a/../../evil", {}, r"\.\."),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "../../etc/shadow"}, "leaves the image"),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "/etc/shadow"}, "no file before it"),
        ("way/in", {}, "not a directory"),
        ("way", {}, "taken"),
        ("x" * 256, {}, "255"),
        ("huge", {"size": 1 << 40}, "content is larger"),
    ],
)
def test_hostile_entries_are_refused_and_leave_nothing(
    baker: Path, tarball: Tarball, tmp_path: Path, entry: str, fields: dict[str, Any], rule: str
) -> None:
    tarball.add("way", type=tarfile.SYMTYPE, linkname="/")
    size = fields.pop("size", None)
    tarball.add(entry, **fields)
    source = tarball.close()
    if size is not None:
        with source.open("r+b") as file:  # claim a size that is not there
            file.seek(512 + 124)
            file.write(b"%011o\0" % size)
            file.seek(512)
            header = bytearray(file.read(512))
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            file.seek(512)
            file.write(header)
    image = tmp_path / "image.ext4"
    with pytest.raises(TarballRefused, match=rule) as refused:
        bake(baker, source, image, SMALL)
    assert entry[:200] in str(refused.value)
    assert not image.exists()


def test_an_absolute_name_lands_in_the_image_and_not_on_the_host(
    baker: Path, tarball: Tarball, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    image = tmp_path / "image.ext4"
    tarball.add(str(outside), b"inside")
    bake(baker, tarball.close(), image, SMALL)
    assert not outside.exists()
    assert debugfs(image, f"cat {outside}") == "inside"


def test_bombs_end_at_the_limit(baker: Path, tarball: Tarball, tmp_path: Path) -> None:
    tarball.add("zeros", bytes(65 << 20))
    plain = tarball.close()
    for packed in (
        gzip.compress(plain.read_bytes(), 1),
        lzma.compress(plain.read_bytes(), preset=0),
    ):
        source = tmp_path / "bomb"
        source.write_bytes(packed)
        with pytest.raises(TarballRefused, match="content is larger"):
            bake(baker, source, tmp_path / "image.ext4", SMALL)
    assert not (tmp_path / "image.ext4").exists()


def test_xz_may_not_ask_for_all_the_memory(baker: Path, tarball: Tarball, tmp_path: Path) -> None:
    packed = bytearray(lzma.compress(tarball.add("a").close().read_bytes(), preset=0))
    end = 12 + (packed[12] + 1) * 4  # of the block's header
    at = packed.index(b"\x21\x01", 12, end) + 2
    packed[at] = 38  # a dictionary of 2 GiB
    packed[end - 4 : end] = struct.pack("<I", zlib.crc32(packed[12 : end - 4]))
    source = tmp_path / "greedy.xz"
    source.write_bytes(packed)
    with pytest.raises(TarballRefused, match="emory"):
        bake(baker, source, tmp_path / "image.ext4", SMALL)


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_a_cut_or_foreign_file_is_refused(
    baker: Path, tarball: Tarball, tmp_path: Path, keep: int
) -> None:
    content = tarball.add("a", os.urandom(4000)).close().read_bytes()
    for name, data in {
        "cut": content[:keep],
        "cut.gz": gzip.compress(content)[: keep or 5],
        "cut.xz": lzma.compress(content)[: keep or 8],
        "noise": os.urandom(1024),
    }.items():
        source = tmp_path / name
        source.write_bytes(data)
        with pytest.raises(TarballRefused):
            bake(baker, source, tmp_path / "image.ext4", SMALL)


def test_only_a_regular_file_is_read(baker: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for source in (tmp_path / "fifo", tmp_path, tmp_path / "none"):
        with pytest.raises(ArtifactsError, match=source.name):
            bake(baker, source, tmp_path / "image.ext4", SMALL)


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_baker_runs_without_rights(tarball: Tarball, tmp_path: Path) -> None:
    """A stand-in for a baker that was taken over says what it may do."""
    spy = script(
        tmp_path / "spy",
        'echo "uid=$(id -u) groups=$(id -G) env=$(env | cut -d= -f1 | sort | tr "\\n" ,) '
        f'cache=$(ls {tmp_path} 2>&1 | wc -w) cwd=$(pwd)" >&2; exit 1',
    )
    tmp_path.chmod(0o700)
    with pytest.raises(ArtifactsError) as failed:
        bake(spy, tarball.add("a").close(), tmp_path / "image.ext4", SMALL)
    said = str(failed.value)
    assert "uid=65534 groups=65534 " in said
    assert "SCAIBUNKER" not in said
    assert "HOME" not in said
    assert said.endswith("cwd=/")
    assert not (tmp_path / "image.ext4").exists()


def test_a_baker_that_hangs_is_ended(tarball: Tarball, tmp_path: Path) -> None:
    hanging = script(tmp_path / "hang", "exec sleep 1000")
    source = tarball.add("a").close()
    packed = tmp_path / "rootfs.tar.xz"
    packed.write_bytes(lzma.compress(os.urandom(1 << 20)))  # more than a pipe holds
    for stuck in (source, packed):
        with pytest.raises(TarballRefused, match="limits"):
            bake(hanging, stuck, tmp_path / "image.ext4", Limits(seconds=0.5))
        assert not (tmp_path / "image.ext4").exists()


def test_an_existing_file_is_not_overwritten(baker: Path, tarball: Tarball, tmp_path: Path) -> None:
    image = tmp_path / "image.ext4"
    image.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        bake(baker, tarball.add("a").close(), image, SMALL)
    assert image.read_bytes() == b"precious"


def test_not_a_byte_of_the_tarball_is_skipped(
    baker: Path, tarball: Tarball, tmp_path: Path
) -> None:
    """The first entries count as much as the last, in a tarball of any size."""
    for index in range(100):
        tarball.add(f"{index:03d}", b"%d" % index)
    image = tmp_path / "image.ext4"
    bake(baker, tarball.close(), image, SMALL)
    assert [name for name in names(image, "/") if name.isdigit()] == [
        f"{i:03d}" for i in range(100)
    ]
