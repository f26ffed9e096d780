"""Write a cpio archive in the `newc` form, which the kernel unpacks as its first root.

Deterministic: entries in the order given, times, owners and inode numbers fixed by us. Knows
nothing of what goes in; that is `initramfs`.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """A directory, or a file with its content. `path` is relative; `mode` includes the type."""

    path: str
    mode: int
    content: bytes = b""


def directory(path: str, permissions: int = 0o755) -> Entry:
    """Return an empty directory's entry."""
    return Entry(path, stat.S_IFDIR | permissions)


def file(path: str, content: bytes, permissions: int = 0o644) -> Entry:
    """Return a regular file's entry."""
    return Entry(path, stat.S_IFREG | permissions, content)


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive, padded to a whole number of 512-byte blocks."""
    out = bytearray()
    for inode, entry in enumerate(entries, start=1):
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        _append(out, entry.path, inode, entry.mode, links, entry.content)
    _append(out, _TRAILER, 0, 0, 1, b"")
    _pad(out, 512)
    return bytes(out)


def _append(out: bytearray, path: str, inode: int, mode: int, links: int, content: bytes) -> None:
    name = path.encode() + b"\0"
    fields = (
        inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0,
    )  # fmt: skip
    # inode, mode, uid, gid, links, mtime, size, device (4), name size, checksum
    out += _MAGIC + b"".join(b"%08X" % field for field in fields) + name
    _pad(out, 4)
    out += content
    _pad(out, 4)


def _pad(out: bytearray, to: int) -> None:
    out += bytes(-len(out) % to)
