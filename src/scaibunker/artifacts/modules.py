"""Choose the kernel modules a bunker boots with, and the order to load them in.

A Debian kernel package carries no `modules.dep` (it is made when a kernel is installed, which
ours never is), so the order comes from what each module says of itself: the `depends=` line of
its `.modinfo` section. Which modules are wanted is decided here; packing
them is `initramfs`.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scaibunker.artifacts.records import ArtifactsError
from scaibunker.artifacts.vmlinux import unpack_module

WANTED = (
    "virtio_pci",  # the bus that QEMU puts the others on
    "virtio_blk",  # image and disk
    "virtio_console",  # the guest channel
    "overlay",  # the root: image below, disk above
    "virtio_rng",
    "virtio_net",
    "vmw_vsock_virtio_transport",  # the guest channel where the VMM has vsock
)


class ModulesError(ArtifactsError):
    """The kernel's modules cannot be resolved; the message names the module."""


@dataclass(frozen=True)
class Module:
    """One module: its name with underscores, its plain ELF bytes."""

    name: str
    content: bytes


def resolve(directory: Path, wanted: Iterable[str] = WANTED) -> list[Module]:
    """Return `wanted` and all they need, each after what it depends on.

    `directory` is a kernel's module tree (`lib/modules/<release>`). Modules that the kernel has
    built in are left out.
    """
    files = {_canonical(path.name): path for path in sorted(directory.rglob("*.ko*"))}
    builtin = _builtin(directory)
    found: dict[str, Module] = {}  # in load order
    visiting: list[str] = []

    def visit(name: str, needed_by: str) -> None:
        if name in found or name in builtin:
            return
        if name in visiting:
            msg = f"kernel modules depend on each other: {' -> '.join([*visiting, name])}"
            raise ModulesError(msg)
        if name not in files:
            msg = f"kernel module {name} (needed by {needed_by}) is neither in {directory} nor built in"
            raise ModulesError(msg)
        module = Module(name, _read(files[name]))
        visiting.append(name)
        for dependency in dependencies(module.content):
            visit(dependency, name)
        visiting.pop()
        found[name] = module

    for name in wanted:
        visit(name, "every bunker")
    return list(found.values())


def dependencies(module: bytes) -> list[str]:
    """Return the names of the modules that must be loaded before this one, sorted."""
    needed: set[str] = set()
    for line in _modinfo(module).split(b"\0"):
        key, _, value = line.decode(errors="replace").partition("=")
        if key == "depends":
            needed.update(filter(None, value.split(",")))
    return sorted(name.replace("-", "_") for name in needed)


def _canonical(file_name: str) -> str:
    return file_name.partition(".ko")[0].replace("-", "_")


def _builtin(directory: Path) -> frozenset[str]:
    listing = directory / "modules.builtin"
    if not listing.is_file():
        return frozenset()
    lines = listing.read_text(encoding="utf-8").splitlines()
    return frozenset(_canonical(line.rsplit("/", 1)[-1]) for line in lines if line)


def _read(path: Path) -> bytes:
    content = unpack_module(path.name, path.read_bytes())
    if content is None:
        msg = f"kernel module {path.name}: unknown compression; use a kernel with .ko, .ko.gz or .ko.xz"
        raise ModulesError(msg)
    return content


def _modinfo(module: bytes) -> bytes:
    """Return the `.modinfo` section of an ELF module."""
    try:
        (table,) = struct.unpack_from("<Q", module, 40)
        entry_size, entries, names_index = struct.unpack_from("<HHH", module, 58)
        sections = [
            struct.unpack_from("<IIQQQQ", module, table + index * entry_size)
            for index in range(entries)
        ]
        names_offset, names_size = sections[names_index][4:6]
        names = module[names_offset : names_offset + names_size]
        for name_at, _type, _flags, _address, offset, size in sections:
            if names[name_at:].startswith(b".modinfo\0"):
                return module[offset : offset + size]
    except (struct.error, IndexError):
        pass
    msg = "a kernel module is no ELF file with a .modinfo section"
    raise ModulesError(msg)
