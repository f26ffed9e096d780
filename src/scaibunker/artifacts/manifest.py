"""The list of what there is to boot from, and the two ways to get it.

`load` reads what was built, in a millisecond, and never builds; `ensure` builds what is missing
and writes the list. Making the parts is `build`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaibunker.artifacts.bake import Limits
from scaibunker.artifacts.build import Builder
from scaibunker.artifacts.recipes import BASE_IMAGES
from scaibunker.artifacts.records import (
    Artifacts,
    ArtifactsError,
    ArtifactsMissing,
    BaseImage,
    BootFiles,
)
from scaibunker.artifacts.settings import Settings, from_environment
from scaibunker.artifacts.store import Store, StoredFile, is_whole

__all__ = [
    "Artifacts",
    "ArtifactsError",
    "ArtifactsMissing",
    "BaseImage",
    "BootFiles",
    "add_image",
    "ensure",
    "load",
    "prune",
]

_DOCUMENT = "manifest.json"
_FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SIZES = ("default_cpu_millicores", "default_memory_mb", "default_disk_mb")


def load(settings: Settings | None = None, *, verify: bool = False) -> Artifacts:
    """Return what was built last. Raises `ArtifactsMissing` if it is not all there.

    Every file's size is checked; `verify` also reads them all and checks their SHA-256.
    """
    settings = settings or from_environment()
    store = Store(settings.cache_dir)
    document = store.read_document(_DOCUMENT)
    where = f"in {settings.cache_dir}: run `make setup` or `python -m scaibunker.artifacts build`"
    if document is None:
        msg = f"no kernel and images have been built {where}"
        raise ArtifactsMissing(msg)
    try:
        artifacts, files = _parse(document, store)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"the list of kernel and images cannot be used {where}"
        raise ArtifactsMissing(msg) from error
    for name, file in files.items():
        if not is_whole(file, verify=verify):
            msg = f"the {name} is missing or damaged {where}"
            raise ArtifactsMissing(msg)
    return artifacts


def ensure(
    progress: Callable[[str], None], settings: Settings | None = None, *, refresh: bool = False
) -> Artifacts:
    """Return everything, building what is missing; `progress` gets lines for people.

    `refresh` takes the current Debian packages even if older ones are built already. Images that
    were added by hand stay. Raises `ArtifactsError`.
    """
    settings = settings or from_environment()
    store = Store(settings.cache_dir)
    boot, images = Builder(settings, store, progress).everything(refresh=refresh)
    with store.locked_document(_DOCUMENT):
        kept = [image for image in _current_images(settings) if image.name not in _base_names()]
        return _write(store, Artifacts(boot, (*images, *kept)))


def add_image(
    name: str,
    tarball: Path,
    progress: Callable[[str], None],
    settings: Settings | None = None,
    limits: Limits | None = None,
) -> BaseImage:
    """Bake a root file system tarball and list it as `name`, in place of one of that name."""
    settings = settings or from_environment()
    if not _NAME.fullmatch(name) or name in _base_names():
        msg = (
            f"name {name!r}: must be 1 to 63 of a-z, 0-9, '.', '_', '-', begin with a letter or "
            "digit, and not be a base image's"
        )
        raise ArtifactsError(msg)
    load(settings)  # without kernel and initramfs the image would be of no use, so say so at once
    store = Store(settings.cache_dir)
    image = Builder(settings, store, progress).own_image(name, tarball, limits or Limits())
    with store.locked_document(_DOCUMENT):
        current = load(settings)
        others = tuple(other for other in current.images if other.name != name)
        _write(store, replace(current, images=(*others, image)))
    return image


def prune(settings: Settings | None = None, *, older_than_s: float = 3600) -> int:
    """Remove what the list no longer names, such as images of before a refresh.

    Returns the bytes freed. Raises `ArtifactsMissing` without a list: it says what to keep.
    """
    settings = settings or from_environment()
    store = Store(settings.cache_dir)
    with store.locked_document(_DOCUMENT):
        listed = load(settings)
        paths = (listed.boot.kernel, listed.boot.initramfs, *(i.path for i in listed.images))
        return store.prune({path.name for path in paths}, older_than_s)


def _base_names() -> frozenset[str]:
    return frozenset(recipe.name for recipe in BASE_IMAGES)


def _current_images(settings: Settings) -> tuple[BaseImage, ...]:
    try:
        return load(settings).images
    except ArtifactsMissing:
        return ()


def _write(store: Store, artifacts: Artifacts) -> Artifacts:
    boot = artifacts.boot
    store.write_document(
        _DOCUMENT,
        {
            "format": _FORMAT,
            "boot": {
                "version": boot.version,
                "kernel": _file(boot.kernel),
                "initramfs": _file(boot.initramfs),
            },
            "images": [
                {
                    "name": image.name,
                    "version": image.version,
                    "file": {"sha256": image.sha256, "size": image.size_bytes},
                    **{field: getattr(image, field) for field in _SIZES},
                }
                for image in artifacts.images
            ],
        },
    )
    return artifacts


def _file(path: Path) -> dict[str, str | int]:
    return {"sha256": path.name, "size": path.stat().st_size}


def _parse(document: Mapping[str, Any], store: Store) -> tuple[Artifacts, dict[str, StoredFile]]:
    if document["format"] != _FORMAT:
        msg = "another version's"
        raise ValueError(msg)

    def stored(file: Mapping[str, Any]) -> StoredFile:
        return store.stored(file["sha256"], file["size"])

    boot = document["boot"]
    files = {"kernel": stored(boot["kernel"]), "initramfs": stored(boot["initramfs"])}
    images = []
    for entry in document["images"]:
        file = files[f"image {entry['name']}"] = stored(entry["file"])
        sizes = {field: int(entry[field]) for field in _SIZES}
        name, version = str(entry["name"]), str(entry["version"])
        images.append(BaseImage(name, version, file.path, file.sha256, file.size, **sizes))
    boot_files = BootFiles(files["kernel"].path, files["initramfs"].path, str(boot["version"]))
    return Artifacts(boot_files, tuple(images)), files
