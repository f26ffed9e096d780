"""What `load` and `ensure` promise to the worker."""

from pathlib import Path

import pytest

from scaibunker.artifacts import manifest
from scaibunker.artifacts.build import Builder
from scaibunker.artifacts.manifest import (
    Artifacts,
    ArtifactsError,
    ArtifactsMissing,
    BaseImage,
    BootFiles,
)
from scaibunker.artifacts.settings import Settings
from scaibunker.artifacts.store import Built, Store, StoredFile


def stored(store: Store, name: str, content: bytes) -> StoredFile:
    def make(scratch: Path) -> Built:
        path = scratch / name
        path.write_bytes(content)
        return Built({name: path}, {})

    return store.build("test", f"{name}-{content.hex()}", make).files[name]


def image(store: Store, name: str, content: bytes = b"image") -> BaseImage:
    file = stored(store, name, content)
    return BaseImage(name, "12.1", file.path, file.sha256, file.size, 1000, 512, 1024)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache")


@pytest.fixture
def built(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    """Artifacts that a stand-in for the builders hands out."""
    store = Store(settings.cache_dir)
    boot = BootFiles(
        stored(store, "kernel", b"kernel").path, stored(store, "initramfs", b"init").path, "6.1-x"
    )
    images = (image(store, "debian-12"), image(store, "python-3.11", b"python"))
    monkeypatch.setattr(Builder, "everything", lambda _self, *, refresh: (boot, images))
    monkeypatch.setattr(
        Builder,
        "own_image",
        lambda _self, name, tarball, _limits: image(store, name, tarball.read_bytes()),
    )
    return Artifacts(boot, images)


def silent(_line: str) -> None:
    pass


def test_nothing_built_says_what_to_run(settings: Settings) -> None:
    with pytest.raises(ArtifactsMissing, match="make setup"):
        manifest.load(settings)
    assert not settings.cache_dir.exists()  # looking leaves nothing behind


def test_what_was_ensured_is_loaded(settings: Settings, built: Artifacts) -> None:
    assert manifest.ensure(silent, settings) == built
    assert manifest.load(settings) == built


@pytest.mark.parametrize("part", ["kernel", "initramfs", "image"])
def test_a_missing_or_cut_file_is_named(settings: Settings, built: Artifacts, part: str) -> None:
    manifest.ensure(silent, settings)
    path = {"kernel": built.boot.kernel, "initramfs": built.boot.initramfs}.get(
        part, built.images[1].path
    )
    path.write_bytes(b"")
    with pytest.raises(ArtifactsMissing, match=part):
        manifest.load(settings)
    path.unlink()
    with pytest.raises(ArtifactsMissing, match=part):
        manifest.load(settings)


def test_verify_reads_the_bytes(settings: Settings, built: Artifacts) -> None:
    manifest.ensure(silent, settings)
    assert manifest.load(settings, verify=True) == built
    built.boot.kernel.write_bytes(b"KERNEL")
    assert manifest.load(settings) == built
    with pytest.raises(ArtifactsMissing, match="kernel"):
        manifest.load(settings, verify=True)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 99}', '{"format": 1, "boot": {}}'])
def test_a_broken_list_says_what_to_run(settings: Settings, content: str) -> None:
    settings.cache_dir.mkdir()
    (settings.cache_dir / "manifest.json").write_text(content)
    with pytest.raises(ArtifactsMissing, match="make setup"):
        manifest.load(settings)


def test_an_added_image_is_listed_and_stays(
    settings: Settings, built: Artifacts, tmp_path: Path
) -> None:
    manifest.ensure(silent, settings)
    tarball = tmp_path / "rootfs.tar"
    tarball.write_bytes(b"one")
    one = manifest.add_image("mine", tarball, silent, settings)
    assert manifest.load(settings).images == (*built.images, one)
    tarball.write_bytes(b"two")
    two = manifest.add_image("mine", tarball, silent, settings)
    assert manifest.load(settings).images == (*built.images, two)
    manifest.ensure(silent, settings)
    assert manifest.load(settings).images == (*built.images, two)


@pytest.mark.parametrize("name", ["", "Mine", "../x", "a b", "-x", "x" * 64, "debian-12"])
def test_a_bad_name_is_refused_before_anything_is_baked(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ArtifactsError, match="name"):
        manifest.add_image(name, tmp_path / "none.tar", silent, settings)
    assert not settings.cache_dir.exists()


def test_pruning_leaves_a_list_that_still_loads(settings: Settings, built: Artifacts) -> None:
    with pytest.raises(ArtifactsMissing):
        manifest.prune(settings, older_than_s=-1)
    manifest.ensure(silent, settings)
    forgotten = image(Store(settings.cache_dir), "forgotten", b"forgotten")
    assert manifest.prune(settings, older_than_s=-1) > 0
    assert not forgotten.path.exists()
    assert manifest.load(settings, verify=True) == built
