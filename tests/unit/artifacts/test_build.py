"""Boot files from an operator's kernel and a prebuilt agent: no network, no compiler."""

from pathlib import Path

import pytest

from scaibunker.artifacts.bake import Limits
from scaibunker.artifacts.build import Builder
from scaibunker.artifacts.modules import WANTED
from scaibunker.artifacts.records import ArtifactsError
from scaibunker.artifacts.settings import Settings
from scaibunker.artifacts.store import Store
from tests.unit.artifacts.archives import read_back
from tests.unit.artifacts.kernels import KERNEL, bzimage
from tests.unit.artifacts.module_trees import module, tree


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    modules = tree(
        tmp_path / "6.1.0-mine",
        builtin="".join(f"kernel/{name}.ko\n" for name in WANTED if name != "virtio_blk"),
        virtio_blk=module("virtio"),
        virtio=module(),
    )
    (tmp_path / "bzImage").write_bytes(bzimage(KERNEL))
    (tmp_path / "agent").write_bytes(b"agent")
    return Settings(
        cache_dir=tmp_path / "cache",
        guest_agent=tmp_path / "agent",
        kernel=tmp_path / "bzImage",
        kernel_modules=modules,
    )


def builder(settings: Settings) -> Builder:
    return Builder(settings, Store(settings.cache_dir), lambda _line: None)


def test_the_kernel_is_unpacked_and_the_modules_packed(settings: Settings) -> None:
    boot = builder(settings).boot()
    assert boot.kernel.read_bytes() == KERNEL
    entries = {path: content for path, _mode, content in read_back(boot.initramfs.read_bytes())}
    assert entries["init"] == b"agent"
    assert entries["modules/order"] == b"00-virtio.ko\n01-virtio_blk.ko\n"
    assert boot.version.startswith("6.1.0-mine-")


def test_a_kernel_that_cannot_be_unpacked_is_booted_as_it_is(settings: Settings) -> None:
    assert settings.kernel is not None
    image = bzimage(b"unknown")
    settings.kernel.write_bytes(image)
    assert builder(settings).boot().kernel.read_bytes() == image


def test_the_version_follows_every_byte(settings: Settings, tmp_path: Path) -> None:
    first = builder(settings).boot()
    assert builder(settings).boot() == first
    (tmp_path / "agent").write_bytes(b"another agent")
    second = builder(settings).boot()
    assert second.version != first.version
    assert second.kernel == first.kernel
    (tmp_path / "agent").write_bytes(b"agent")
    assert builder(settings).boot() == first


def test_what_is_missing_is_named(settings: Settings, tmp_path: Path) -> None:
    assert settings.kernel is not None
    assert settings.guest_agent is not None
    settings.guest_agent.unlink()
    with pytest.raises(ArtifactsError, match="guest-agent: there is no file"):
        builder(settings).boot()
    settings.kernel.unlink()
    with pytest.raises(ArtifactsError, match="SCAIBUNKER_KERNEL"):
        builder(settings).boot()


def test_an_installation_without_sources_says_what_to_set(tmp_path: Path) -> None:
    bare = builder(Settings(cache_dir=tmp_path))
    with pytest.raises(ArtifactsError, match="SCAIBUNKER_IMAGE_BAKER"):
        bare.own_image("mine", Path(__file__), Limits())
