"""The image cache: names, sizes and half-made files."""

from pathlib import Path

import pytest

from scaibunker.worker.errors import ImageNotCached, WorkerFault
from scaibunker.worker.images.cache import ImageCache

SHA = "ab" * 32


def test_a_linked_image_is_there_and_shares_its_bytes(tmp_path: Path) -> None:
    source = tmp_path / SHA
    source.write_bytes(b"image")
    cache = ImageCache(tmp_path / "cache")
    cache.link(source)
    cache.link(source)
    assert cache.cached() == [SHA]
    assert cache.ensure(SHA, 5).stat().st_ino == source.stat().st_ino


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / SHA).write_bytes(b"image")
    cache = ImageCache(tmp_path / "cache")
    cache.link(tmp_path / SHA)
    with pytest.raises(ImageNotCached, match="5 bytes here instead of 6"):
        cache.ensure(SHA, 6)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "AB" * 32, "ab" * 31])
def test_only_a_sha256_names_an_image(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageNotCached):
        ImageCache(tmp_path / "cache").ensure(name, 1)


def test_files_of_other_names_are_not_taken_in(tmp_path: Path) -> None:
    (tmp_path / "debian.ext4").write_bytes(b"x")
    with pytest.raises(WorkerFault, match="not named by a SHA-256"):
        ImageCache(tmp_path / "cache").link(tmp_path / "debian.ext4")


def test_half_made_files_of_a_dead_daemon_are_removed(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{SHA}.123.tmp").write_bytes(b"half")
    assert ImageCache(tmp_path / "cache").cached() == []
    assert list((tmp_path / "cache").iterdir()) == []
