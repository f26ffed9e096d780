"""Build what is missing, side by side: kernel, guest agent, initramfs, base images.

Owns the order and the keys; each part is made by its own module and kept by `store`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from time import monotonic

from scaibunker.artifacts import debian, golang, initramfs, kernel
from scaibunker.artifacts.apt import Apt
from scaibunker.artifacts.bake import Limits, bake
from scaibunker.artifacts.modules import Module
from scaibunker.artifacts.recipes import BASE_IMAGES, ImageRecipe
from scaibunker.artifacts.records import ArtifactsError, BaseImage, BootFiles
from scaibunker.artifacts.settings import Settings
from scaibunker.artifacts.store import Built, Entry, Store, digest, key_of

_IMAGE = "image"
_INITRAMFS = "initramfs"
_METHOD = 2
"""Raised when this package would make another image or initramfs of the same inputs."""


class Builder:
    """Builds into one store. `progress` gets a line for people when something begins or ends."""

    def __init__(self, settings: Settings, store: Store, progress: Callable[[str], None]) -> None:
        self._settings = settings
        self._store = store
        self._progress = progress
        self._speaking = Lock()
        self._apt = Apt()

    def everything(self, *, refresh: bool = False) -> tuple[BootFiles, tuple[BaseImage, ...]]:
        """Return the boot files and the base images, building what is missing.

        `refresh` takes the current Debian packages even if older ones are built already.
        """
        with ThreadPoolExecutor(max_workers=1 + len(BASE_IMAGES)) as pool:
            boot = pool.submit(self.boot, refresh=refresh)
            images = [pool.submit(self.base_image, r, refresh=refresh) for r in BASE_IMAGES]
            return boot.result(), tuple(image.result() for image in images)

    def boot(self, *, refresh: bool = False) -> BootFiles:
        """Return kernel and initramfs."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            agent = pool.submit(self._program, self._settings.guest_agent, "guest-agent")
            chosen = self._kernel(refresh=refresh)
            agent_path = agent.result()
        modules = [(name, stored.sha256) for name, stored in chosen.modules]
        key = key_of(agent=digest(agent_path), modules=modules, method=_METHOD)

        def pack(scratch: Path) -> Built:
            contents = [Module(name, f.path.read_bytes()) for name, f in chosen.modules]
            packed = scratch / _INITRAMFS
            packed.write_bytes(initramfs.build(agent_path.read_bytes(), contents))
            return Built({_INITRAMFS: packed}, {})

        packed = self._store.build("initramfs", key, pack).files[_INITRAMFS]
        version = key_of(kernel=chosen.file.sha256, initramfs=packed.sha256)[:12]
        return BootFiles(chosen.file.path, packed.path, f"{chosen.release}-{version}")

    def base_image(self, recipe: ImageRecipe, *, refresh: bool = False) -> BaseImage:
        """Return the base image of a recipe."""
        key = key_of(
            recipe=recipe.inputs(), epoch=debian.EPOCH, baker=self._baker_key(), method=_METHOD
        )

        def make(scratch: Path) -> Built:
            begun = monotonic()
            self._say(f"{recipe.name}: installing Debian packages into an image")
            tarball = debian.bootstrap(recipe, self._apt.debian_sources(recipe.suite), scratch)
            image = scratch / _IMAGE
            bake(self._baker(), tarball, image)
            version = debian.version_of(recipe, tarball)
            self._say(f"{recipe.name}: {version} baked in {monotonic() - begun:.0f} s")
            return Built({_IMAGE: image}, {"version": version})

        entry = self._store.build("image", key, make, refresh=refresh)
        return _as_image(recipe.name, entry, recipe)

    def own_image(self, name: str, tarball: Path, limits: Limits) -> BaseImage:
        """Return the image of a user's tarball. The name is only a label; the key is its content."""
        try:
            content = digest(tarball)
        except OSError as error:
            msg = f"the tarball {tarball} cannot be read: {error.strerror}"
            raise ArtifactsError(msg) from error
        key = key_of(
            tarball=content, limits=asdict(limits), baker=self._baker_key(), method=_METHOD
        )

        def make(scratch: Path) -> Built:
            self._say(f"{name}: baking {tarball}")
            image = scratch / _IMAGE
            bake(self._baker(), tarball, image, limits)
            return Built({_IMAGE: image}, {"version": content[:12]})

        return _as_image(name, self._store.build("image", key, make), None)

    def _kernel(self, *, refresh: bool) -> kernel.Kernel:
        if self._settings.kernel is not None:
            return kernel.named(self._store, self._settings.kernel, self._settings.kernel_modules)
        return kernel.debian(
            self._store,
            lambda: self._apt.debian_sources(kernel.SUITE),
            self._say,
            refresh=refresh,
        )

    def _baker(self) -> Path:
        return self._program(self._settings.image_baker, "image-baker")

    def _baker_key(self) -> str:
        """Return what decides the bytes it writes, without building it."""
        if self._settings.image_baker is not None:
            return digest(self._settings.image_baker)
        return golang.hash_sources(self._source_of("image-baker"))

    def _program(self, prebuilt: Path | None, name: str) -> Path:
        if prebuilt is None:
            return golang.build(self._store, self._source_of(name), name, self._say).path
        if not prebuilt.is_file():
            msg = f"{name}: there is no file {prebuilt}"
            raise ArtifactsError(msg)
        return prebuilt

    def _source_of(self, name: str) -> Path:
        module = self._settings.sources / name if self._settings.sources else None
        if module is None or not (module / "go.mod").is_file():
            variable = f"SCAIBUNKER_{name.replace('-', '_').upper()}"
            msg = f"this installation has neither the sources of {name} nor its binary: set {variable}"
            raise ArtifactsError(msg)
        return module

    def _say(self, line: str) -> None:
        with self._speaking:
            self._progress(line)


def _as_image(name: str, entry: Entry, recipe: ImageRecipe | None) -> BaseImage:
    file = entry.files[_IMAGE]
    return BaseImage(
        name=name,
        version=entry.notes["version"],
        path=file.path,
        sha256=file.sha256,
        size_bytes=file.size,
        default_cpu_millicores=recipe.default_cpu_millicores if recipe else 1000,
        default_memory_mb=recipe.default_memory_mb if recipe else 512,
        default_disk_mb=recipe.default_disk_mb if recipe else 1024,
    )
