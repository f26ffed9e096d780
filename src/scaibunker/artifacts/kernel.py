"""Get the kernel that bunkers boot, and the modules their initramfs needs.

Debian's `cloud` kernel is downloaded as a package and unpacked into the cache; it is never
installed on the host. An operator may name another one. Which modules are wanted is `modules`,
unpacking the image `vmlinux`.
"""

import hashlib
import platform
import re
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scaibunker.artifacts import modules, vmlinux
from scaibunker.artifacts.debian import unpack
from scaibunker.artifacts.records import ArtifactsError
from scaibunker.artifacts.store import Built, Entry, Store, StoredFile, digest, key_of

SUITE = "bookworm"
"""Every host boots the same kernel, whatever it runs itself."""
_PACKAGE = "linux-image-cloud-amd64"
_RECIPE = 2
"""Raised when the same package would give other files."""
_KERNEL = "kernel"


@dataclass(frozen=True)
class Kernel:
    """A kernel file that a VMM can boot, its release, and its modules in load order."""

    file: StoredFile
    release: str
    modules: tuple[tuple[str, StoredFile], ...]


def debian(
    store: Store,
    sources: Callable[[], Sequence[str]],
    progress: Callable[[str], None],
    *,
    refresh: bool = False,
) -> Kernel:
    """Return Debian's cloud kernel, of the version that was current when it was first asked for.

    `sources` gives the apt sources to take it from; `refresh` asks for the current version again.
    """
    if platform.machine() != "x86_64":
        msg = f"Debian's cloud kernel is taken for x86_64 only, this is {platform.machine()}: set SCAIBUNKER_KERNEL"
        raise ArtifactsError(msg)
    key = key_of(package=_PACKAGE, suite=SUITE, recipe=_RECIPE, wanted=modules.WANTED)

    def fetch(scratch: Path) -> Built:
        progress("kernel: downloading and unpacking Debian's cloud kernel")
        tarball = unpack(_PACKAGE, SUITE, sources(), scratch)
        tree = scratch / "tree"
        _extract(tarball, tree)
        images = sorted((tree / "boot").glob("vmlinuz-*"))
        trees = sorted((tree / "lib/modules").glob("*"))
        if len(images) != 1 or len(trees) != 1:
            msg = f"{_PACKAGE} does not hold one kernel with its modules"
            raise ArtifactsError(msg)
        return _collect(scratch, images[0], trees[0])

    return _from_entry(store.build("kernel", key, fetch, refresh=refresh))


def _extract(tarball: Path, tree: Path) -> None:
    """Write the kernel and its modules into `tree`. The packages are Debian's own, and signed."""
    with tarfile.open(tarball) as archive:
        for member in archive:
            if not member.name.startswith(("./boot/vmlinuz-", "./lib/modules/")):
                continue
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and ".." not in member.name:
                target = tree / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def named(store: Store, image: Path, module_tree: Path | None) -> Kernel:
    """Return the operator's kernel: a vmlinux or bzImage, and its `lib/modules/<release>`."""
    if not image.is_file():
        msg = f"SCAIBUNKER_KERNEL: there is no file {image}"
        raise ArtifactsError(msg)
    if module_tree is None or not module_tree.is_dir():
        msg = f"SCAIBUNKER_KERNEL_MODULES must name the module tree of {image}, is {module_tree}"
        raise ArtifactsError(msg)
    wanted = modules.resolve(module_tree)
    key = key_of(image=digest(image), modules=[_hash(m.content) for m in wanted])
    return _from_entry(
        store.build("kernel", key, lambda scratch: _collect(scratch, image, module_tree))
    )


def _collect(scratch: Path, image: Path, module_tree: Path) -> Built:
    content = image.read_bytes()
    if not vmlinux.is_bootable_elf(content):
        # Without an ELF inside, the VMM boots the bzImage, which takes a little longer.
        content = vmlinux.extract(content) or content
    kernel = scratch / _KERNEL
    kernel.write_bytes(content)
    files = {_KERNEL: kernel}
    for index, module in enumerate(modules.resolve(module_tree)):
        path = scratch / f"{index:02d}"
        path.write_bytes(module.content)
        files[f"{index:02d}-{module.name}"] = path
    return Built(files, {"release": module_tree.name})


def _from_entry(entry: Entry) -> Kernel:
    order = sorted(name for name in entry.files if name != _KERNEL)
    return Kernel(
        file=entry.files[_KERNEL],
        release=re.sub(r"[^\w.+-]", "_", entry.notes["release"]),
        modules=tuple((name.partition("-")[2], entry.files[name]) for name in order),
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
